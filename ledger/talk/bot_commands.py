"""Whether a line is a command to a bot, by the names it begins with or by its prefix.

Imports and nights ask here alike. An import knows more: it counts which lead-ins the bots of a channel
really answer, and takes a prefix ("!roll") for a command only where they do, since it drops the line for
good. A night only leaves it out of what is learned, so that there a prefix is enough.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

REACH = 40
"""How far a name in front may reach, in characters: Discord's names have at most 32."""

_PREFIXED = re.compile(r"(?:[!/?$%&;~+^\\-]|[.](?=[a-z]))[A-Za-z]\w*")
_RAW_MENTION = re.compile(r"<@[!&]?(\d{1,19})>")


def has_prefix(text: str) -> bool:
    """Tell whether the text begins as commands to bots do: "!roll", "/roll", ".roll"."""
    return _PREFIXED.match(text) is not None


def calls_a_bot(text: str, names: Mapping[str, int], bots: Collection[int]) -> bool:
    """Tell whether the text begins with a bot's name or a mention of it; ``names`` are casefolded."""
    return any(person in bots for person in led_by(text, names))


def led_by(text: str, names: Mapping[str, int]) -> tuple[int, ...]:
    """Return the ids of those whose names the text begins with: "a, b: …" or "@a …".

    ``names`` maps casefolded names to ids.
    """
    found: list[int] = []
    rest = text
    while (hit := _lead_in(rest, names)) is not None:
        found.append(hit[0])
        rest = rest[hit[1] :].lstrip()
    if found:
        return tuple(found)
    if raw := _RAW_MENTION.match(text):
        number = int(raw[1])
        return (number,) if 0 < number < 2**63 else ()  # a number that no account can have names nobody
    named = named_at(text[1:REACH].casefold(), names) if text.startswith("@") else None
    return () if named is None else (named,)


def named_at(text: str, names: Mapping[str, int]) -> int | None:
    """Return who is named at the start of ``text``, which is casefolded; the longest name wins."""
    for end in range(len(text), 0, -1):
        whole = end == len(text) or not (text[end].isalnum() or text[end] == "_")
        if whole and (person := names.get(text[:end])) is not None:
            return person
    return None


def _lead_in(text: str, names: Mapping[str, int]) -> tuple[int, int] | None:
    """Return who is named in front of the first colon or comma, and where that ends."""
    head = text[:REACH]
    for end, character in enumerate(head):
        if character == "\n":
            return None
        if character == ":" or (character == "," and head[end + 1 : end + 2] in (" ", "")):
            person = names.get(head[:end].removeprefix("@").casefold())
            if person is not None:
                return person, end + 1
    return None
