"""What is wrong with a reply in a chat, by rules that need no model and no opinion.

Pure functions: context and text in, names of faults out. The verdict's smoke test and the benchmark of
manners share them. The rules, with their numbers:

- loop: the same three to thirty words come three times in a row, one sentence of three words or
  more three times, or, in forty words or more, fewer than half of the groups of four are new.
- name in front: it begins with "Name:", be it the bot's, anybody's in the chat, or a word with a capital.
- others' lines: a later line begins with a name of the chat and a colon.
- empty: no letter, digit or picture character.
- cut: it reached its limit of tokens and does not end where a sentence ends.
- off-language: most of its letters are of a script, or of five words or more most of the tell-tale
  ones of a language, that is neither English nor the question's.
- echo: it says the question again and hardly anything else.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

FAULTS = ("loop", "name in front", "others' lines", "empty", "cut", "off-language")
SMOKE = ("empty", "endless", "loop", "others' lines", "name in front", "echo")
"""What a smoke test looks for: a version that often does one of these is broken, whatever its NLL."""

_SPEAKER = re.compile(r"([^\n:]{1,40}):(?: |$)")
"""How a prompt's turn names who speaks."""
_STRANGER = re.compile(r"[A-Z][\w'-]{1,30}: ")
_WORD = re.compile(r"[\w']+")
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'»”’)\]*_~`]*$|[:;]-?[()DPp/]$|```$")
_TELLTALES = {
    "en": "the is are and you i it to of that what not my your with for do have this be was",
    "de": "der die das und ist nicht ich du wie ein eine mit auf für es mir dir geht",
    "fr": "le la les et est je tu vous un une des pas que pour de du la france bonjour",
    "es": "el la los y es yo tú me un una de que no por para como llamo estoy",
    "it": "il la lo e è io tu un una di che non per come sono sto bene ciao",
    "nl": "de het een en is niet ik je hoe laat van met voor dat maar uur",
}
_SCRIPTS = {"ja": ("HIRAGANA", "KATAKANA", "CJK")}


def faults(text: str, *, names: Sequence[str], language: str, at_limit: bool, asked: str) -> list[str]:
    """Return the names of all that is wrong with ``text``, an answer to ``asked``."""
    found = {
        "loop": loops(text),
        "name in front": _led_by_name(text.lstrip(), names) or bool(_STRANGER.match(text.lstrip())),
        "others' lines": any(_led_by_name(line, names) for line in text.strip().splitlines()[1:]),
        "empty": not any(_tells(character) for character in text),
        "cut": at_limit and not ends_a_sentence(text),
        "off-language": off_language(text, language),
        "echo": _words(text) == _words(asked) and bool(_words(text)),
    }
    return [name for name, there in found.items() if there]


def smoke_faults(context: Sequence[Mapping[str, Any]], reply: str, *, ended: bool) -> list[str]:
    """Return which of :data:`SMOKE` are wrong with ``reply``, sampled after the turns of ``context``.

    The last of these may be the reply's own beginning.

    ``ended`` tells whether the model ended the reply itself. One that did not within the limit is endless, in
    mid-sentence or not: it would have gone on.
    """
    begun = bool(context) and context[-1]["role"] == "assistant"
    said = [str(turn["content"]) for turn in context[: -1 if begun else None] if turn["role"] != "system"]
    asked = said[-1] if said else ""
    found = set(
        faults(reply, names=speakers(context), language="en", at_limit=not ended, asked=_without_name(asked))
    )
    if not ended:
        found.add("endless")
    if _words(reply) == _words(asked) and _words(asked):
        found.add("echo")
    return [name for name in SMOKE if name in found]


def speakers(context: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of everybody in the chat: turns have one as a key or in front of their text."""
    named = {str(turn["name"]) for turn in context if turn.get("name")}
    lines = (
        line for turn in context if turn["role"] != "system" for line in str(turn["content"]).split("\n")
    )
    return sorted(named | {found[1] for line in lines if (found := _SPEAKER.match(line))})


def _without_name(line: str) -> str:
    found = _SPEAKER.match(line)
    return line[found.end() :] if found else line


def loops(text: str) -> bool:
    """Tell whether ``text`` goes in circles."""
    words = _words(text)
    for length in range(3, min(30, len(words) // 3) + 1):
        for start in range(len(words) - 3 * length + 1):
            part = words[start : start + length]
            again = words[start + length : start + 3 * length]
            if again == part * 2:
                return True
    sentences = Counter(tuple(_words(part)) for part in re.split(r"[.!?\n]+", text))
    if any(count >= 3 and len(sentence) >= 3 for sentence, count in sentences.items()):
        return True
    groups = [tuple(words[start : start + 4]) for start in range(len(words) - 3)]
    return len(words) >= 40 and len(set(groups)) < len(groups) / 2


def ends_a_sentence(text: str) -> bool:
    """Tell whether ``text`` stops where a sentence or a picture character ends it."""
    last = text.rstrip()[-1:]
    return bool(_SENTENCE_END.search(text.rstrip())) or (bool(last) and unicodedata.category(last) == "So")


def off_language(text: str, language: str) -> bool:
    """Tell whether most of ``text`` is in a language that is neither English nor ``language``."""
    letters = [unicodedata.name(letter, "") for letter in text if letter.isalpha()]
    scripts = ("LATIN", *_SCRIPTS.get(language, ()))
    if letters and sum(name.startswith(scripts) for name in letters) < len(letters) / 2:
        return True
    words = _words(text)
    scores = {code: sum(word in told.split() for word in words) for code, told in _TELLTALES.items()}
    expected = max(scores["en"], scores.get(language, 0))
    return len(words) >= 5 and max(scores.values()) >= 3 and max(scores.values()) > 2 * expected


def _led_by_name(line: str, names: Sequence[str]) -> bool:
    return any(re.match(rf"[\W_]*{re.escape(name)}[\W_]*:", line, re.IGNORECASE) for name in names)


def _tells(character: str) -> bool:
    return character.isalnum() or unicodedata.category(character) == "So"


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


__all__ = ["FAULTS", "SMOKE", "ends_a_sentence", "faults", "loops", "off_language", "smoke_faults"]
