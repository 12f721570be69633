"""The plain form of a text that rules look at: what hides a value from them is taken away.

Zero-width characters, full-width and mathematical letters, the digits of other scripts, typographic
dashes and Markdown's backslashes all show a reader the same value, so they must not hide it.
"""

from __future__ import annotations

import re
import unicodedata

_ZERO_WIDTH = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200d\u200e\u200f" + (
    "\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
_SPACES = "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_QUOTES = "\u2018\u2019\u02bc"
# First digit of each script that people chat in; the other nine follow it.
_ZEROS = (
    "\u0660\u06f0\u07c0\u0966\u09e6\u0a66\u0ae6\u0b66\u0be6\u0c66\u0ce6\u0d66\u0e50\u0ed0\u0f20\u1040\u17e0"
)
_ESCAPED = re.compile(r"\\(?=[_*~.@+-])")


def _table() -> dict[str, str]:
    table = dict.fromkeys(_ZERO_WIDTH, "")
    table |= dict.fromkeys(_SPACES, " ") | dict.fromkeys(_DASHES, "-") | dict.fromkeys(_QUOTES, "'")
    table |= {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F) if chr(code) not in _DASHES}
    table |= {chr(ord(zero) + digit): str(digit) for zero in _ZEROS for digit in range(10)}
    mathematical = map(chr, range(0x1D400, 0x1D800))
    table |= {letter: unicodedata.normalize("NFKC", letter) for letter in mathematical}
    return table


_PLAIN = _table()


def fold(text: str) -> tuple[str, list[int] | None]:
    r"""Return the plain form, and the position in ``text`` of each of its characters.

    The places are None where nothing changed, which is nearly always. No character becomes several.
    """
    escapes = {match.start() for match in _ESCAPED.finditer(text)} if "\\" in text else set()
    if not escapes and (text.isascii() or _PLAIN.keys().isdisjoint(text)):
        return text, None
    plain: list[str] = []
    positions: list[int] = []
    for position, character in enumerate(text):
        shown = _PLAIN.get(character, character)
        if shown and position not in escapes:
            plain.append(shown)
            positions.append(position)
    return "".join(plain), positions
