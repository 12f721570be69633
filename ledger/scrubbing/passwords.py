"""Passwords: inside an address (``user:password@host``), or after a word that names one.

What follows "password:" in chat is mostly no password ("password: required"), so a value must mix
letters with digits or signs, and must not be program text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_IN_ADDRESS = re.compile(r"(?<=://)(?P<user>[^\s:/@\ufffc]{0,64}):(?P<value>[^\s/\ufffc]{3,100})@(?=[\w\[])")
_IN_COMMAND = re.compile(
    r"\bsshpass\s+-p\s*(['\"]?)(?P<value>[^\s'\"]{4,64})\1"
    r"|\b(?:mysql|mysqldump|mysqladmin|mariadb|mariadb-dump)\b[^\n]{0,80}?\s-p(?P<joined>[^\s'\"\ufffc]{4,64})"
    r"|\b(?:curl|http|wget)\b[^\n]{0,80}?\s(?:-u|--user)[\s=]['\"]?[\w.@-]{1,64}:(?P<given>[^\s'\"\ufffc]{4,64})"
)
_NAMES = (
    r"passwor[dt]s?|passwd|pwd|pw|pass|passphrase|passcode|kennwort|mdp|mot\sde\spasse|contraseña|wachtwoord"
    r"|senha|palavra-passe|hasło|lösenord|parola|пароль"
    r"|パスワード|密码|密碼"
)
_LINK = (
    r"(?P<sign>['\"]?\s?(?::=|=>|[:=])\s?)"
    r"|\s(?:is|ist|lautet|es|est|c'est|é|è|to|war|was|jest|är)(?:\snow|\sjetzt)?:?\s"
    r"|(?=\|\|[^\s|]{4,64}\|\|)|\s-{1,2}\s|\s?[は是]\s?|\s(?=['\"`|*])"
)
# "the password for the attic is ..."
_OF = r"(?:\s(?:for|of|to|für|vom|von|zum|zur|du|de|del|van|voor|do|da)(?:\s[\w'-]{1,20}){1,4}?)?"
_NAMED = re.compile(
    rf"(?:(?<![a-z])|(?<=_)|(?<=wlan-))(?:{_NAMES}){_OF}(?:{_LINK})(?P<wrap>['\"`|*]{{0,2}})"
    r"(?P<value>[!-~À-ɏ]{4,64})",
    re.IGNORECASE,
)
# "login heron / reed7", "log in as heron, pass reed7"
_WITH_NAME = re.compile(
    r"(?<![a-z])(?:login|log\sin|creds|credentials|user(?:name)?|account|sign(?:ed)?\sin)(?:\sas|\sis|:|\s=)?"
    r"\s['\"`]?(?!(?:page|screen|form|button|flow|node)\b)[\w.@+-]{2,40}['\"`]?"
    rf"(?:\s[/|]\s|,?\s(?:and\s|with\s|und\s|mit\s)?(?:{_NAMES})\s)['\"`]?(?P<value>[!-~À-ɏ]{{4,64}})",
    re.IGNORECASE,
)
_ACCOUNT = ("login", "log in", "creds", "credentials", "user", "account", "sign")
# One of these, in small letters, stands in every name above.
_NEEDED = (
    *(
        "pass",
        "pwd",
        "pw",
        "kennwort",
        "mdp",
        "contrase",
        "wachtwoord",
        "senha",
        "hasło",
        "lösenord",
        "parola",
    ),
    *("пароль", "パス", "密码", "密碼"),
)
_NEEDED_ASCII = tuple(filter(str.isascii, _NEEDED))
_PROGRAM_TEXT = re.compile(
    r"[(\[{<>;]|^[$%@&*\\]|\w\.\w+\.|^(?:os|process|self|config|settings|env|request|args)\.|::|->|^https?:"
)
_MEASURE = re.compile(r"^[\d.,:/%-]+$|^\d+(?:st|nd|rd|th|px|ms|s|kb|mb|gb|k|x|h|min)?$", re.IGNORECASE)


def in_addresses(view: str) -> Iterator[tuple[int, int]]:
    """Yield where the password stands in a web address or a command with credentials."""
    if "://" in view and "@" in view:
        yield from (match.span("value") for match in _IN_ADDRESS.finditer(view))
    if "sshpass" in view or "-u" in view or " -p" in view:
        for match in _IN_COMMAND.finditer(view):
            group = match.lastgroup or "value"
            if group != "joined" or looks_chosen(match["joined"], written_out=True):
                yield match.span(group)


def named(view: str) -> Iterator[tuple[int, int]]:
    """Yield where a password stands after a word that says so."""
    lowered = view.lower()
    needed = _names_one(lowered)
    if (needed or " / " in view or " | " in view) and any(word in lowered for word in _ACCOUNT):
        for match in _WITH_NAME.finditer(view):
            value = _bare(match["value"], "")
            if looks_chosen(value, written_out=False):
                yield match.start("value"), match.start("value") + len(value)
    if not needed:
        return
    for match in _NAMED.finditer(view):
        value = _bare(match["value"], match["wrap"])
        if looks_chosen(value, written_out=match["sign"] is not None):
            yield match.start("value"), match.start("value") + len(value)


def _names_one(lowered: str) -> bool:
    return any(word in lowered for word in (_NEEDED_ASCII if lowered.isascii() else _NEEDED))


def _bare(value: str, wrap: str) -> str:
    """Return ``value`` without the quotes around it and the sentence's own signs behind it."""
    for mark in (wrap, *"'\"`"):
        value = value.split(mark, 1)[0] if mark else value
    return value.rstrip(".,:;)|*?") if not value.endswith("!") else value


def looks_chosen(value: str, *, written_out: bool) -> bool:
    """Return whether ``value`` mixes signs as a password does; after a mere "is" it needs a digit too."""
    if not 5 <= len(value) <= 64 or _PROGRAM_TEXT.search(value):
        return False
    digits = sum(character.isdigit() for character in value)
    letters = sum(character.isalpha() for character in value)
    signs = len(value) - digits - letters
    if _MEASURE.match(value):
        return written_out and value.isdigit() and len(value) >= 6
    if not written_out:
        return bool(letters and digits)
    strange = value.strip("-_.,").replace("-", "").replace("_", "").replace(".", "")
    return bool(letters and (digits or (signs and not strange.isalpha() and "/" not in value)))
