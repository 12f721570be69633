"""What of a model's words may be shown: its own line alone, once, and to the end of a sentence.

A small model goes on writing the transcript that it reads: it puts a name in front, writes what others
say next, or repeats itself until the limit. Pure text work, piece by piece, so that what must not be
shown never is, not even half streamed. Knows no tokenizer and no Discord.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

ROLES = ("user", "human", "assistant", "system", "ai", "bot")
"""Names that models give to speakers of their own accord."""
DECORATION = "*_\"'`<>[]()@# \t"
"""What may stand around a name: ``**Mira:**``, ``<Mira>:``, ``@Mira:``."""
REPEATS = 3
"""So often in a row words are a loop, if they are ``LOOP_WORDS`` together."""
LOOP_WORDS = 6
LONG_REPEAT = 8
"""So many words are a loop the second time; people repeat shorter ones for emphasis."""
SENTENCE_WORDS = 3
"""A sentence of so many words is a loop the third time, whatever stands between."""

_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)\]*_`]*(?=\s|$)|```(?=\s|$)")
_STRANGER = re.compile(
    r"[*_\"'<]{0,3}(?!(?:Note|Tip|Hint|Warning|Answer|Example|Update|Edit|PS|Yes|No|Summary|Result)\b)"
    r"[A-Z][\w'-]{1,30}[*_\"'>]{0,3}:[*_]{0,3}[ \t]+"
)
"""A name that is nobody's here: models invent speakers. What people do begin a line with is left alone."""
_FIRST_WORD = re.compile(r"[*_\"'<]{0,3}[A-Z][\w'-]*[*_\"'>:]{0,4}")
_LIST_MARK = re.compile(r"(?:^|\n)\s*\d+[.)]$")
_RUN = re.compile(r"(\S{1,4}?)\1{15,}")
"""Sixteen of the same in a row: "haha…", "!!!!…", a wall of one emoji."""
_WORD = re.compile(r"\S+")


class Mouth:
    """One answer on its way out: feed it pieces, show what :meth:`say` returns."""

    def __init__(self, names: Collection[str]) -> None:
        """``names`` are those of everybody in sight, the bot's own included."""
        people = {" ".join(name.split()).casefold() for name in names} - {""}
        self._names = tuple(sorted(people | set(ROLES), key=len, reverse=True))
        anybody, somebody = _either(self._names), _either(people)
        around = f"[{re.escape(DECORATION)}]{{0,4}}"
        self._lead = re.compile(rf"\s*{around}(?:{anybody}){around}:[*_]{{0,3}}\s*", re.IGNORECASE)
        # A role is a speaker at the beginning of a line alone: within, it is a key of somebody's code.
        self._others = re.compile(
            rf"(?:\n|(?<=[.!?…])[ \t]){around}(?:{somebody}){around}:(?=[\s*_]|$)"
            rf"|\n[*_]{{0,3}}(?:{_either(ROLES)})[*_]{{0,3}}:(?=[\s*_]|$)",
            re.IGNORECASE,
        )
        self._raw = ""
        self._loops = _Loops()
        self._loops_from = 0
        self._cut: int | None = None
        self.over = False
        """Whether nothing that follows would be shown: the rest need not be generated."""
        self.looped = False
        """Whether it was cut because it repeated itself."""

    def say(self, piece: str) -> str:
        """Take one more piece, and return all that may be shown by now."""
        if not self.over:
            self._raw += piece
            self._look()
        return self._clean(ended=False)

    def finish(self, *, at_limit: bool) -> str:
        """Return the whole answer; one that reached the limit ends with its last sentence."""
        if not self.over:
            self._look(ended=True)
        text = self._clean(ended=True)
        return to_last_sentence(text) if at_limit and not self.over else text

    def _look(self, *, ended: bool = False) -> None:
        """Find out whether the answer has to end here."""
        start = self._start()
        if start != self._loops_from:  # what looked like the answer was a name in front of it
            self._loops, self._loops_from = _Loops(), start
        body = self._raw[start:] + (" " if ended else "")
        ends = []
        if (line := self._others_line(body)) is not None:
            ends.append(start + line)
        if (loop := self._loops.find(body)) is not None:
            self.looped = True
            ends.append(start + loop)
        if ends:
            self._cut = min(ends)
            self.over = True

    def _others_line(self, body: str) -> int | None:
        """Return where somebody else's line begins; in a block of code a name is a word like any other."""
        for found in self._others.finditer(body):
            if body.count("```", 0, found.start()) % 2 == 0:
                return found.start()
        return None

    def _start(self) -> int:
        """Return where the answer begins: behind every name that leads it."""
        start = 0
        while (found := self._lead.match(self._raw, start)) is not None:
            start = found.end()
        if start == 0 and (found := _STRANGER.match(self._raw.lstrip())) is not None:
            start = len(self._raw) - len(self._raw.lstrip()) + found.end()
        return start

    def _clean(self, *, ended: bool) -> str:
        text = self._raw[self._start() : self._cut]
        if not ended and self._cut is None:
            text = self._without_beginning_label(re.sub(r"(?:^|\n)-#?[ \t]*$", "", text))
        return _without_small_print(text).strip()

    def _without_beginning_label(self, text: str) -> str:
        """Return ``text`` without its end where that may be the beginning of somebody's name."""
        if _FIRST_WORD.fullmatch(text.lstrip()):
            return ""
        border = max((found.end() for found in re.finditer(r"\n|[.!?…](?=[ \t])", text)), default=0)
        tail = text[border:].strip(DECORATION).casefold()
        tail = " ".join(tail.split())
        if not tail and border:
            return text[:border]
        if any(name.startswith(tail) for name in self._names):
            return text[:border]
        return text


def _either(names: Collection[str]) -> str:
    """Return a pattern for any of the names, the longest first; for none of them, one that never fits."""
    ordered = sorted(names, key=len, reverse=True)
    return "|".join(r"\s+".join(map(re.escape, name.split())) for name in ordered) or r"(?!)"


def _without_small_print(text: str) -> str:
    """Return ``text`` in normal print: small print is how the bot's asides are known."""
    return re.sub(r"^-#[ \t]+", "", text, flags=re.MULTILINE)


def to_last_sentence(text: str) -> str:
    """Return ``text`` up to the end of its last sentence or else line; where there is none, an ellipsis."""
    ends = [
        found.end() for found in _SENTENCE_END.finditer(text) if not _LIST_MARK.search(text, 0, found.end())
    ]
    if ends:
        return text[: ends[-1]]
    line, _, _ = text.rpartition("\n")
    if line.strip():
        return line.rstrip()
    words, _, _ = text.rpartition(" ")
    return f"{words or text}…" if text else ""


class _Loops:
    """Finds where a growing text begins to repeat itself; looks at each word once."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._ends: list[int] = []
        self._seen = 0
        self._sentences: Counter[tuple[str, ...]] = Counter()
        self._sentence: list[str] = []
        self._sentence_start = 0

    def find(self, text: str) -> int | None:
        """Return the index behind which ``text`` says nothing new; None if it goes on well."""
        if (run := _RUN.search(text)) is not None:
            return run.start() + 3 * len(run[1])
        for found in _WORD.finditer(text, self._seen):
            if found.end() == len(text):
                break  # it may still grow
            if (cut := self._add(found)) is not None:
                return cut
        return None

    def _add(self, found: re.Match[str]) -> int | None:
        self._seen = found.end()
        if re.fullmatch(r"\d+[.)]|[-*•]", found[0]):
            return None  # a list's mark, which counts on while the words stay the same
        self._words.append(found[0].casefold().strip(".,;:!?…\"'*_()"))
        self._ends.append(found.end())
        return self._in_a_row() or self._once_more(found)

    def _in_a_row(self) -> int | None:
        """Return the end of the first of several repeats that the words end with."""
        words = self._words
        for period in range(1, len(words) // 2 + 1):
            unit = words[-period:]
            times = 1
            while words[-period * (times + 1) : -period * times] == unit:
                times += 1
            if (times >= REPEATS and period * times >= LOOP_WORDS) or (times > 1 and period >= LONG_REPEAT):
                return self._ends[len(words) - period * (times - 1) - 1]
        return None

    def _once_more(self, found: re.Match[str]) -> int | None:
        """Return the start of a sentence that was said twice before."""
        if not self._sentence:
            self._sentence_start = found.start()
        self._sentence.append(self._words[-1])
        if not _SENTENCE_END.search(found[0]):
            return None
        sentence, self._sentence = tuple(self._sentence), []
        self._sentences[sentence] += 1
        again = self._sentences[sentence] >= REPEATS and len(sentence) >= SENTENCE_WORDS
        return self._sentence_start if again else None
