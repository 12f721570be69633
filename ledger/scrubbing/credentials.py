"""Discord's own tokens, private keys of PEM, PGP or PuTTY, and the recovery phrases of wallets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest

# A token begins with the base64 of the account's id, whose digits become M, N or O.
_DISCORD = re.compile(
    r"(?<![\w.-])(?:[MNO][\w-]{22,27}\.[\w-]{6}\.[\w-]{27,38}(?![\w-])|mfa\.[\w-]{80,90}(?![\w-]))", re.ASCII
)
_KEY_HEAD = re.compile(r"-{2,5} ?BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)? ?-{2,5}")
_KEY_TAIL = re.compile(r"-{2,5} ?END (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)? ?-{2,5}")
_KEY_BODY = re.compile(r"(?:\s|\\n|[A-Za-z0-9+/=:,-]{16,}|[A-Za-z-]+: [^\n]*\n|=[\w+/]{4}\s)*")
_LEAST_BODY = 32
_PUTTY = re.compile(
    r"PuTTY-User-Key-File-\d:[^\n]{0,40}\n(?:(?:[A-Za-z-]{1,30}:[^\n]{0,200}|[\w+/=]{4,100})(?:\n|$)){1,200}"
)
_LEAST_PHRASE = 51
# A wallet's words have three to eight letters, and there are twelve to twenty-four of them.
_PHRASE = re.compile(
    r"\b(?:seed|recovery|mnemonic)(?:[ -]?(?:phrase|words?))?(?:\s(?:is|was|are))?\s?[:=]?\s{0,2}['\"`|]{0,2}"
    r"(?P<value>[a-z]{3,8}(?:[, \n]{1,2}[a-z]{3,8}){11,23})(?!\w)",
    re.IGNORECASE,
)


def discord_tokens(view: str) -> Iterator[tuple[int, int]]:
    """Yield where a bot's or a person's Discord token stands."""
    if view.count(".") >= 2 or "mfa." in view:
        yield from (match.span() for match in _DISCORD.finditer(view))


def private_keys(view: str) -> Iterator[tuple[int, int]]:
    """Yield where a private key stands, whole or without its end."""
    if "PuTTY-User-Key" in view:
        yield from (match.span() for match in _PUTTY.finditer(view) if "Private-Lines" in match[0])
    if "PRIVATE KEY" not in view:
        return
    heads = list(_KEY_HEAD.finditer(view))
    tails = list(_KEY_TAIL.finditer(view)) if heads else []
    for head, following in zip_longest(heads, heads[1:]):
        limit = following.start() if following else len(view)
        while tails and tails[0].start() < head.end():
            tails.pop(0)
        body = _KEY_BODY.match(view, head.end(), limit)
        end = body.end() if body else head.end()
        if tails and tails[0].end() <= limit:
            end = tails[0].end()
        if end - head.end() >= _LEAST_BODY:
            yield head.start(), head.end() + len(view[head.end() : end].rstrip())


def recovery_phrases(view: str) -> Iterator[tuple[int, int]]:
    """Yield where the words that open a wallet stand, after a word that says so."""
    if len(view) < _LEAST_PHRASE:
        return
    lowered = view.lower()
    if "seed" in lowered or "recovery" in lowered or "mnemonic" in lowered:
        yield from (match.span("value") for match in _PHRASE.finditer(view))
