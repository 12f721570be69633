"""Long answers in several messages: pure functions over text."""

from __future__ import annotations

import re

LIMIT = 1990
"""Characters a message; Discord takes 2,000, and ten are left for closing a code block."""

_FENCE = re.compile(r"```(?:([\w+-]{1,20})(?=\n))?")
"""A code block begins or ends here, anywhere in a line; a language is one only before a line's end."""


def split_message(text: str, *, limit: int = LIMIT) -> list[str]:
    """Return ``text`` in pieces of at most ``limit`` characters.

    Cuts at a paragraph, a line or a word, in this order of preference. A code block that is cut is
    closed in one piece and opened again, in its language, in the next. The first pieces do not
    change when text is appended, so an answer can stream into them.
    """
    pieces: list[str] = []
    opening = ""
    rest = text.strip("\n")
    while len(opening) + len(rest) > limit:
        cut = _cut(rest, limit - len(opening) - len("\n```"))
        before, rest = rest[:cut], rest[cut:].lstrip("\n")
        head = before.rstrip()
        if not head:
            continue  # nothing but blanks, which Discord would refuse
        language = _open_fence(opening + before)
        pieces.append(_closed(opening + head))
        opening = "" if language is None else f"```{language}\n"
    # A block that is still streaming in is closed for show.
    return [*pieces, _closed(opening + rest)] if rest.strip() else pieces


def _cut(text: str, room: int) -> int:
    """Return where to cut: past half of the room, at the best border that there is."""
    for border in ("\n\n", "\n", " "):
        place = text.rfind(border, room // 2, room)
        if place > 0:
            return place + len(border)
    # No mark of a code block is cut in two.
    return len(text[:room].rstrip("`")) or room


def _open_fence(text: str) -> str | None:
    """Return the language of the code block that ``text`` leaves open, or None."""
    fences = _FENCE.findall(text)
    return fences[-1] if len(fences) % 2 else None


def _closed(text: str) -> str:
    return text if _open_fence(text) is None else f"{text}\n```"
