"""Which of a model's words to show: its own line only, once, and up to the end of a sentence.

A small model continues the transcript that it reads: it starts with a name, writes what others say next,
or repeats itself until it hits the limit. This is pure text work, piece by piece, so that what must not
be shown never is, not even while an answer streams. Knows no tokenizer and no Discord.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

ROLES = ("user", "human", "assistant", "system", "ai", "bot")
"""Names that models give to speakers on their own."""
DECORATION = "*_\"'`<>[]()@# \t"
"""What may surround a name: ``**Mira:**``, ``<Mira>:``, ``@Mira:``."""
REPEATS = 3
"""Words repeated this often in a row are a loop, if they make at least ``LOOP_WORDS`` together."""
LOOP_WORDS = 6
LONG_REPEAT = 8
"""This many words are a loop the second time; people repeat shorter runs for emphasis."""
SENTENCE_WORDS = 3
"""A sentence of at least this many words is a loop the third time, whatever comes in between."""

_SENTENCE_END = re.compile(r"[.!?…。！？]+[\"'”’)\]*_`]*(?=\s|$)|```(?=\s|$)")
_STRANGER = re.compile(
    r"[*_\"'<]{0,3}(?!(?:Note|Tip|Hint|Warning|Answer|Example|Update|Edit|PS|Yes|No|Summary|Result)\b)"
    r"[A-Z][\w'-]{1,30}[*_\"'>]{0,3}:[*_]{0,3}[ \t]+"
)
"""A speaker whom the model made up. Words with which people really begin a line are left alone."""
_FIRST_WORD = re.compile(r"[*_\"'<]{0,3}[A-Z][\w'-]*[*_\"'>:]{0,4}")
_LIST_MARK = re.compile(r"(?:^|\n)\s*\d+[.)]$")
_RUN = re.compile(r"(\S{1,4}?)\1{15,}")
"""The same thing sixteen times in a row: "haha…", "!!!!…", a wall of one emoji."""
_WORD = re.compile(r"\S+")


class Mouth:
    """One answer on its way out: feed it pieces, and show what :meth:`say` returns."""

    def __init__(self, names: Collection[str]) -> None:
        """``names`` are those of everybody in the conversation, the bot included."""
        people = {" ".join(name.split()).casefold() for name in names} - {""}
        self._names = tuple(sorted(people | set(ROLES), key=len, reverse=True))
        anybody, somebody = _either(self._names), _either(people)
        around = f"[{re.escape(DECORATION)}]{{0,4}}"
        self._lead = re.compile(rf"\s*{around}(?:{anybody}){around}:[*_]{{0,3}}\s*", re.IGNORECASE)
        # A role is a speaker only at the beginning of a line; elsewhere "user:" is a key in somebody's code.
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
        """Whether the answer is complete: nothing further would be shown, so nothing need be generated."""
        self.looped = False
        """Whether the answer was cut because it repeated itself."""

    def say(self, piece: str) -> str:
        """Take one more piece; return everything that may be shown by now."""
        if not self.over:
            self._raw += piece
            self._look()
        return self._clean(ended=False)

    def finish(self, *, at_limit: bool) -> str:
        """Return the whole answer; one that hit the limit ends with its last complete sentence."""
        if not self.over:
            self._look(ended=True)
        text = self._clean(ended=True)
        return to_last_sentence(text) if at_limit and not self.over else text

    def _look(self, *, ended: bool = False) -> None:
        """Find out whether the answer has to end, and where."""
        start = self._start()
        if start != self._loops_from:  # what looked like the answer turned out to be a name
            self._loops, self._loops_from = _Loops(), start
        # Loops are looked for in whole words; the blank says that the last one is whole.
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
        """Return where somebody else's line begins; inside a code block, a name is just a word."""
        for found in self._others.finditer(body):
            if body.count("```", 0, found.start()) % 2 == 0:
                return found.start()
        return None

    def _start(self) -> int:
        """Return where the answer begins: after all names that lead into it."""
        start = 0
        while (found := self._lead.match(self._raw, start)) is not None:
            start = found.end()
        # A made-up name counts only in front: within an answer, "Milk: 2 litres" is a list.
        if start == 0 and (found := _STRANGER.match(self._raw.lstrip())) is not None:
            start = len(self._raw) - len(self._raw.lstrip()) + found.end()
        return start

    def _clean(self, *, ended: bool) -> str:
        text = self._raw[self._start() : self._cut]
        if not ended and self._cut is None:
            # A dash at the end may become "-# ", by which the bot's asides are known.
            text = self._without_beginning_label(re.sub(r"(?:^|\n)-#?[ \t]*$", "", text))
        return _without_small_print(text).strip()

    def _without_beginning_label(self, text: str) -> str:
        """Return ``text`` without an end that may turn out to be the beginning of somebody's name."""
        # "Mira" may turn into "Mira:", a line that must not show even for a second.
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
    """Return a pattern for any of the names, longest first; without names it never matches."""
    ordered = sorted(names, key=len, reverse=True)
    return "|".join(r"\s+".join(map(re.escape, name.split())) for name in ordered) or r"(?!)"


def _without_small_print(text: str) -> str:
    """Return ``text`` in normal print, since small print marks the bot's asides."""
    return re.sub(r"^-#[ \t]+", "", text, flags=re.MULTILINE)


def to_last_sentence(text: str) -> str:
    """Return ``text`` up to the end of its last sentence, or else line, or else word, with an ellipsis."""
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
    """Finds where a growing text begins to repeat itself; looks at each word only once."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._ends: list[int] = []
        self._seen = 0
        self._sentences: Counter[tuple[str, ...]] = Counter()
        self._sentence: list[str] = []
        self._sentence_start = 0

    def find(self, text: str) -> int | None:
        """Return the index after which ``text`` says nothing new; None while it does."""
        if (run := _RUN.search(text)) is not None:
            return run.start() + 3 * len(run[1])
        for found in _WORD.finditer(text, self._seen):
            if found.end() == len(text):
                break  # the word may still grow
            if (cut := self._add(found)) is not None:
                return cut
        return None

    def _add(self, found: re.Match[str]) -> int | None:
        self._seen = found.end()
        if re.fullmatch(r"\d+[.)]|[-*•]", found[0]):
            return None  # a list's marker: it changes although the words repeat, and would hide the loop
        self._words.append(found[0].casefold().strip(".,;:!?…\"'*_()"))
        self._ends.append(found.end())
        return self._in_a_row() or self._once_more(found)

    def _in_a_row(self) -> int | None:
        """Return the end of the first repeat, if the words end in a loop."""
        words = self._words
        # Every period that could end here. Answers have some 100 words, so the square of it is little.
        for period in range(1, len(words) // 2 + 1):
            unit = words[-period:]
            times = 1
            while words[-period * (times + 1) : -period * times] == unit:
                times += 1
            if (times >= REPEATS and period * times >= LOOP_WORDS) or (times > 1 and period >= LONG_REPEAT):
                return self._ends[len(words) - period * (times - 1) - 1]
        return None

    def _once_more(self, found: re.Match[str]) -> int | None:
        """Return the start of a sentence that has been said twice before."""
        if not self._sentence:
            self._sentence_start = found.start()
        self._sentence.append(self._words[-1])
        if not _SENTENCE_END.search(found[0]):
            return None
        sentence, self._sentence = tuple(self._sentence), []
        self._sentences[sentence] += 1
        again = self._sentences[sentence] >= REPEATS and len(sentence) >= SENTENCE_WORDS
        return self._sentence_start if again else None
