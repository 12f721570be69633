"""Access tokens and keys: the forms that issuers document, and random text that is called a key.

A random string without such a word nearby stays: commit hashes, digests and identifiers look the
same and chat among programmers is full of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from ledger.scrubbing.masking import HIDDEN, without_urls

# Issuers' documented prefixes; the length is the least that was ever issued.
_KNOWN = re.compile(
    r"""(?<![A-Za-z0-9])(?:
    (?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])                # Amazon Web Services
    |gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{22,255}                # GitHub
    |gl(?:pat|oas|dt|rt|cbt|ptt|ft|imt|agent|wt|soat|ffct)-[\w-]{20,64}(?:\.[a-z0-9]{2}\.[a-z0-9]{9})?
    |gsk_[A-Za-z0-9]{40,60}|xai-[A-Za-z0-9]{60,100}|r8_[A-Za-z0-9]{37}   # Groq, xAI, Replicate
    |sbp_[0-9a-f]{40}|ntn_[A-Za-z0-9]{40,60}|pplx-[A-Za-z0-9]{40,60}     # Supabase, Notion, Perplexity
    |lin_api_[A-Za-z0-9]{32,48}|figd_[\w-]{38,60}|nfp_[A-Za-z0-9]{36,48}   # Linear, Figma, Netlify
    |ATATT3[\w=-]{150,250}|PMAK-[0-9a-f]{24}-[0-9a-f]{34}|NRAK-[A-Z0-9]{27}   # Atlassian, Postman, New Relic
    |sntrys_[\w+/=-]{80,250}|phc_[A-Za-z0-9]{40,50}|glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}
    |dp\.(?:pt|st|ct|sa)\.[\w-]{40,64}|pat[A-Za-z0-9]{14}\.[0-9a-f]{64}   # Doppler, Airtable
    |FlyV1\ fm[12]_[\w+/=,-]{100,500}|v1\.0-[0-9a-f]{24}-[0-9a-f]{146}   # Fly.io, Cloudflare's origin
    |(?:api|HRKU)-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![\w-])   # LaunchDarkly, Heroku
    |mdb_sa_sk_[\w-]{40}|dapi[0-9a-f]{32}(?!\w)|EAAA[\w-]{56,64}(?![\w-])   # MongoDB, Databricks, Square
    |sk\.eyJ[\w-]{40,200}\.[\w-]{20,30}                                 # Mapbox
    |(?P<words>xox[abeoprs]-[\w-]{10,250}                               # Slack; not "xoxo-" in words
        |sk-(?:proj-|ant-|or-|svcacct-)[\w-]{20,250})                     # OpenAI, Anthropic
    |xapp-\d-[\w-]{20,250}|vercel_[A-Za-z0-9]{24}|rnd_[A-Za-z0-9]{32}(?!\w)   # Slack, Vercel, Render
    |EAA[A-Za-z0-9]{80,300}(?!\w)|secret_[A-Za-z0-9]{43}(?!\w)          # Facebook, Notion
    |AIza[\w-]{35}(?![\w-])|ya29\.[\w-]{20,500}|GOCSPX-[\w-]{20,40}     # Google
    |(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,247}|whsec_[\w+/=]{16,100}   # Stripe
    |sk-[A-Za-z0-9]{32,64}(?![\w-])                                     # OpenAI, DeepSeek
    |hf_[A-Za-z0-9]{30,40}|npm_[A-Za-z0-9]{36}|pypi-AgE[\w-]{50,250}    # Hugging Face, npm, PyPI
    |SG\.[\w-]{16,32}\.[\w-]{16,64}|SK[0-9a-f]{32}(?!\w)|key-[0-9a-f]{32}(?!\w)   # SendGrid, Twilio, Mailgun
    |(?<=AccountKey=)[A-Za-z0-9+/]{86}==                                # Azure's storage
    |\d{8,10}:AA[\w-]{32,35}(?![\w-])                                   # Telegram
    |do[opr]_v1_[0-9a-f]{64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}         # DigitalOcean, Shopify
    |sq0(?:atp|csp)-[\w-]{22,43}|tskey-[a-z]+-[\w-]{20,80}              # Square, Tailscale
    |AGE-SECRET-KEY-1[A-Z0-9]{58}|hvs\.[\w-]{24,200}|dckr_pat_[\w-]{20,64}   # age, Vault, Docker
    |(?<![\w-])eyJ[\w-]{10,2000}\.[\w-]{10,8000}(?:\.[\w-]{10,2000})?             # JSON Web Token
    )""",
    re.VERBOSE | re.ASCII,
)
_NO_DIGIT = re.compile(r"\D*")
_LONG_RUN = re.compile(r"[\w+/-]{16}", re.ASCII)
_CANDIDATE = re.compile(r"(?<![\w+/~-])[\w+/~-]{16,512}={0,2}(?![\w+/~-])", re.ASCII)
_KEY_NAMES = re.compile(
    r"""(?:
    (?:api|access|auth|secret|private|signing|encryption|account|licen[cs]e)[\s_-]?keys?|apikeys?|auth[_-]?keys?
    |secrets?|tokens?|auth[_-]?token|bearer|authorization|credentials?|session(?:[_-]?id)?|cookie|signature
    |(?<![a-z])(?:sig|sid|key|basic)(?=\s?[=:]|\s)|jetons?|token\w*|(?:api|zugangs|zugriffs|geheim)[\s-]?(?:schlüssel|token)
    |schlüssel|clé|clave|chave|sleutel|klucz|ключ|токен
    |キー|トークン|密钥|密鑰|令牌
    )""",
    re.VERBOSE | re.IGNORECASE,
)
# "... is my private key"
_CALLED_AFTER = re.compile(
    r"['\"`]?\s(?:is|was|ist|war)\s(?:my|our|your|his|her|their|the|mein|der)\s(?!public)(?:\w{1,20}\s){0,2}"
    r"(?:key|token|secret)\b",
    re.IGNORECASE,
)
_DIGEST_NAMES = re.compile(
    r"commit|\bsha(?:-?\d+)?\b|\bmd5\b|hash|digest|checksum|integrity|etag|revision|bisect|fingerprint|public|cache|pgp|gpg",
    re.I,
)
_REACH = 48
_ASSIGNED, _CALLED = 0.18, 0.25


def known(view: str) -> Iterator[tuple[int, int]]:
    """Yield where a token in an issuer's documented form stands."""
    if not _LONG_RUN.search(view):
        return
    for match in _KNOWN.finditer(view):
        words = match["words"]
        if words is None or not _NO_DIGIT.fullmatch(words):
            yield match.span()


def named(view: str) -> Iterator[tuple[int, int]]:
    """Yield where random text stands that a word in front of it calls a key, token or the like."""
    if not _LONG_RUN.search(view):
        return
    apart = without_urls(view)
    for match in _CANDIDATE.finditer(view):
        start = match.start()
        if apart[start] == HIDDEN and view[start - 1] not in "=:":
            continue  # a part of an address's path, where only "key=" tells a secret from a name
        before = view[max(0, start - _REACH) : start]
        mixed = _ASSIGNED if before.rstrip(" '\"`").endswith(("=", ":")) else _CALLED
        called = _KEY_NAMES.search(before) or _CALLED_AFTER.match(view, match.end())
        if called and not _DIGEST_NAMES.search(before) and is_random(match[0], mixed):
            yield match.span()


def is_random(text: str, least: float) -> bool:
    """Return whether letters and digits alternate as in generated text, unlike words with a number.

    ``least`` is the share of neighbours that must differ in sort: small letter, capital, digit.
    """
    letters = sum(character.isalpha() for character in text)
    digits = sum(character.isdigit() for character in text)
    if digits < 2 or letters < 2 or len(set(text)) < 8:
        return False
    kinds = [_sort(character) for character in text if character.isalnum()]
    changes = sum(left != right for left, right in pairwise(kinds))
    return changes / len(kinds) >= least


def _sort(character: str) -> int:
    return 0 if character.isdigit() else 1 if character.islower() else 2
