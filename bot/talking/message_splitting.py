"""Long answers in several messages: pure functions over text."""

from __future__ import annotations

import re

LIMIT = 1990
"""Characters a message: Discord takes 2,000, and ten are kept for closing a code block."""

_FENCE = re.compile(r"```(?:([\w+-]{1,20})(?=\n))?")
"""Where a code block begins or ends; what follows is a language only if the line ends with it."""


def split_message(text: str, *, limit: int = LIMIT) -> list[str]:
    """Return ``text`` in pieces of at most ``limit`` characters.

    Cuts at a paragraph, a line or a word, in this order of preference. Closes a code block that it has to
    cut, and opens it again, in its language, in the next piece. Earlier pieces do not change when text is
    appended, so an answer can stream into them.
    """
    pieces: list[str] = []
    opening = ""
    rest = text.strip("\n")
    while len(opening) + len(rest) > limit:
        # Always with room for closing a code block: whether one is open shows only where the text is cut.
        cut = _cut(rest, limit - len(opening) - len("\n```"))
        before, rest = rest[:cut], rest[cut:].lstrip("\n")
        head = before.rstrip()
        if not head:
            continue  # nothing but blanks, which Discord refuses
        language = _open_fence(opening + before)
        pieces.append(_closed(opening + head))
        opening = "" if language is None else f"```{language}\n"
    # A block that is still streaming in is closed, too, so that it shows as one.
    return [*pieces, _closed(opening + rest)] if rest.strip() else pieces


def _cut(text: str, room: int) -> int:
    """Return where to cut: at the best border in the second half of the room."""
    for border in ("\n\n", "\n", " "):
        found = text.rfind(border, room // 2, room)
        if found > 0:
            return found + len(border)
    # Never within the three backticks of a code block.
    return len(text[:room].rstrip("`")) or room


def _open_fence(text: str) -> str | None:
    """Return the language of the code block that ``text`` leaves open, or None."""
    fences = _FENCE.findall(text)
    return fences[-1] if len(fences) % 2 else None


def _closed(text: str) -> str:
    return text if _open_fence(text) is None else f"{text}\n```"
