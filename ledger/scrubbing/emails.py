"""E-mail addresses, written plainly or spelled out to hide them from robots.

An address of the form ``git@host`` names a repository and not a person, and is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Latin, Greek and Cyrillic letters; Chinese or Japanese text may touch an address without a space.
_LETTER = "A-Za-z0-9À-ɏͰ-ԯ"
_LOCAL = re.compile(rf"[{_LETTER}](?:[{_LETTER}._%+'-]{{0,63}}[{_LETTER}_+-])?$")
_DOMAIN = re.compile(
    rf"(?:[{_LETTER}](?:[{_LETTER}_-]{{0,61}}[{_LETTER}])?\.){{1,6}}"
    r"(?:xn--[a-z0-9-]{2,40}|[A-Za-z]{2,24}|[а-я]{2,10})(?![A-Za-z0-9_])",
)
# An address of a machine may stand for the domain, and a quoted name may hold blanks (RFC 5321).
_LITERAL = re.compile(r"\[(?:IPv6:)?[0-9A-Fa-f.:]{7,45}\]")
_QUOTED = re.compile(r"(?<![\w\"])\"[A-Za-z][^\"\n\ufffc]{0,60}[A-Za-z0-9]\"$")
_LOCAL_LENGTH = 64
_REPOSITORY_USERS = {"git", "hg", "svn"}


def plain(view: str) -> Iterator[tuple[int, int]]:
    """Yield where ``name@host.tld`` stands."""
    at = view.find("@")
    while at >= 0:
        domain = _DOMAIN.match(view, at + 1) or _LITERAL.match(view, at + 1)
        if domain:
            # Looking back from the sign keeps the search linear on long lines.
            floor = max(0, at - _LOCAL_LENGTH)
            local = _LOCAL.search(view[floor:at]) or _QUOTED.search(view[floor:at])
            if local and local[0].lower() not in _REPOSITORY_USERS:
                yield floor + local.start(), domain.end()
        at = view.find("@", at + 1)


# How each language says the two signs; mixed up they are ordinary speech ("at some point in").
_SAID = (
    ("at|ät|klammeraffe", "dot|punkt|punt"),
    ("arobase", "point"),
    ("arroba", "punto|ponto|punt"),
    ("chiocciola", "punto"),
    ("małpa", "kropka"),
    ("snabel-?a", "punkt"),
    ("apenstaartje", "punt"),
)
_ANY_AT = "|".join(at for at, _ in _SAID)
_ANY_DOT = "|".join(dict.fromkeys("|".join(dots for _, dots in _SAID).split("|")))
_OPEN, _CLOSE = r"\s?[(\[{<]\s?", r"\s?[)\]}>]\s?"
_DOT = rf"(?:{_OPEN}(?:{_ANY_DOT}|\.){_CLOSE}|\s(?:{_ANY_DOT})\s|\.)"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?"
# Without brackets such an address must also end in a usual domain.
_TOP = (
    "com|org|net|edu|gov|io|dev|app|me|info|biz|xyz|site|online|example|email|de|at|ch|fr|be|lu|es|pt|it|nl|pl|cz"
    "|se|no|dk|fi|ie|uk|eu|us|ca|mx|br|ar|cl|co|au|nz|in|jp|cn|kr|ru|ua|tr|gr|tv|gg"
)


def _person(dots: str) -> str:
    return rf"(?<![\w.+-])(?P<local>[a-z0-9][\w.+-]{{0,40}}(?:\s(?:{dots})\s[\w-]{{1,40}}){{0,2}})"


_SPELLED = [
    re.compile(
        rf"{_person(_ANY_DOT)}{_OPEN}(?:{_ANY_AT}|@){_CLOSE}{_LABEL}(?:{_DOT}{_LABEL}){{0,4}}{_DOT}[a-z]{{2,24}}(?!\w)",
        re.IGNORECASE,
    )
] + [
    re.compile(
        # "we met at the dot com bubble"
        rf"{_person(dots)}\s(?:{at})\s(?!(?:the|a|an|this|that|every|some|each)\s){_LABEL}(?:\s(?:{dots})\s{_LABEL}){{0,3}}\s(?:{dots})\s(?:{_TOP})(?!\w)",
        re.IGNORECASE,
    )
    for at, dots in _SAID
]
# "heron_at_example_dot_org", "h e r o n @ example . org"
_JOINED = re.compile(
    r"(?<!\w)(?P<local>[a-z0-9][a-z0-9.+]{0,40})(?P<by>[_-])at(?P=by)[a-z0-9]{1,40}(?:(?P=by)[a-z0-9]{1,40}){0,4}?"
    rf"(?P=by)dot(?P=by)(?:{_TOP})(?!\w)",
    re.IGNORECASE,
)
_LETTERS = re.compile(
    rf"(?<!\w)(?P<local>(?:[a-z0-9] ){{3,30}})@ ?(?:{_LABEL} ?\. ?){{1,4}}(?:{_TOP})(?!\w)", re.IGNORECASE
)
# "lunch @ cafe.example" names a place: only a word for mail, a name with signs or an empty message tells.
_SPACED = re.compile(
    rf"(?<![\w.+-])(?P<local>[a-z0-9][\w.+-]{{0,40}}) @ ?(?:{_LABEL}\.){{1,4}}(?:{_TOP})(?![\w/])",
    re.IGNORECASE,
)
_MAIL_WORDS = re.compile(
    r"mail|contact|write|reach|paypal|courriel|correo|почт|邮箱|schreib|écri", re.IGNORECASE
)
_MAIL_REACH = 40
_GATE = re.compile(rf"[(\[{{<]\s?(?:{_ANY_AT}|@)\s?[)\]}}>]|\s(?:{_ANY_AT})\s", re.IGNORECASE)
# "look at example dot com" names a site.
_NO_PERSON = frozenset(
    [
        "look",
        "looking",
        "is",
        "are",
        "was",
        "were",
        "be",
        "host",
        "hosted",
        "hosting",
        "available",
        "live",
        "lives",
        "me",
        "us",
        "it",
        "him",
        "her",
        "them",
        "here",
        "up",
        "over",
        "arrived",
        "find",
        "found",
        "see",
        "read",
        "check",
        "blog",
        "site",
        "website",
        "page",
        "meet",
        "go",
        "working",
        "work",
        "stop",
        "stay",
    ]
)


def spelled_out(view: str) -> Iterator[tuple[int, int]]:
    """Yield where an address stands in words, as in ``name at host dot org`` or ``name (at) host.org``."""
    patterns = [*_SPELLED] if _GATE.search(view) else []
    if "_at_" in view or "-at-" in view or "_AT_" in view:
        patterns.append(_JOINED)
    if " @" in view:
        patterns.append(_LETTERS)
        yield from (match.span() for match in _SPACED.finditer(view) if _is_for_mail(view, match))
    for pattern in patterns:
        for match in pattern.finditer(view):
            if match["local"].lower() not in _NO_PERSON:
                yield match.span()


def _is_for_mail(view: str, match: re.Match[str]) -> bool:
    """Tell whether the words around ``name @ host.tld`` speak of mail, and not of a venue."""
    if match["local"].lower() in _NO_PERSON:
        return False
    alone = match[0] == view.strip()
    signs = re.search(r"\w[.+_]\w|\d", match["local"])
    return alone or bool(
        signs or _MAIL_WORDS.search(view, max(0, match.start() - _MAIL_REACH), match.start())
    )
