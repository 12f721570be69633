"""Messages that are no target tonight, each with its reason; they may stay as context.

Pure functions over records, in time proportional to the text. Commands to bots are refused before, by
:mod:`trainer.preparing.selection`, for they are no good as context either.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Sequence

from ledger.forgetting.quotes import Quotes
from ledger.records import Message
from ledger.shingles import WINDOW, runs, words
from ledger.talk.prompts import readable
from trainer.choosing.language import DUMP, MASH, WALL, link_alone, no_language
from trainer.choosing.near_duplicates import NearDuplicates

DUPLICATE = "nearly the same as an earlier message"
FLOOD = "floods (many in a minute, or the same again)"
LINK_ALONE = "links without a word"
BOT_QUOTED = "quotations of the bot"

CONTEXTLESS = frozenset({FLOOD, WALL, MASH})
"""What is no use as context either: nobody answers the twentieth copy."""

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
IN_A_MINUTE = 12
"""Messages of one person within a minute; of 69,509 in two years of a busy channel, 0.2 % came faster."""
SAME_IN_AN_HOUR = 2
"""How often somebody may say the very same within an hour: "thanks" twice is manners, 0.1 % said it more."""


def unworthy(messages: Sequence[Message], *, bot_answers: Collection[str] = ()) -> dict[int, str]:
    """Return why a message is no target tonight, by message id; who is missing is worth learning.

    ``messages`` are a window of time, in any order; of texts that repeat each other the oldest is kept.
    ``bot_answers`` are the stored texts of the bot's own answers, which it must not learn back from
    those who quote it. The first of several reasons counts, in the order of this module's constants.
    """
    seen, pace, said = NearDuplicates(), _Pace(), _Said(bot_answers)
    found: dict[int, str] = {}
    for message in sorted(messages, key=lambda each: (each.created_at, each.id)):
        text = readable(message.content, {})
        reason = _reason(message, text, pace, said)
        if not reason and seen.find_or_add(text) is not None:
            reason = DUPLICATE
        if reason:
            found[message.id] = reason
    return found


def _reason(message: Message, text: str, pace: _Pace, said: _Said) -> str:
    # First, whatever else: each message counts towards its author's pace.
    if pace.floods(message, text):
        return FLOOD
    if link_alone(text):
        return LINK_ALONE
    return no_language(text) or (BOT_QUOTED if text in said else "")


class _Pace:
    """How fast each person writes, and what each said within the hour."""

    def __init__(self) -> None:
        self._times: defaultdict[int, deque[int]] = defaultdict(deque)
        self._same: defaultdict[tuple[int, int], deque[int]] = defaultdict(deque)

    def floods(self, message: Message, text: str) -> bool:
        """Note the message; tell whether it is one too many. Messages come oldest first."""
        same = (message.author_id, hash(" ".join(words(text)) or text))
        fast = _within(self._times[message.author_id], message.created_at, MINUTE_MS) > IN_A_MINUTE
        again = _within(self._same[same], message.created_at, HOUR_MS) > SAME_IN_AN_HOUR
        return fast or again


def _within(times: deque[int], now: int, span: int) -> int:
    """Note a time; return how many lie within the span before it. Each time is taken out once."""
    times.append(now)
    while times[0] < now - span:
        times.popleft()
    return len(times)


class _Said:
    """What the bot said; ``in`` tells whether a text repeats it."""

    def __init__(self, answers: Collection[str]) -> None:
        self._runs = {run for answer in answers for run in runs(words(answer), WINDOW)}
        # A line that is marked as a quotation repeats it with fewer words: three may be a whole answer.
        self._answers = Quotes(answers)

    def __contains__(self, text: str) -> bool:
        if self._runs and any(run in self._runs for run in runs(words(text), WINDOW)):
            return True
        return any(line in self._answers for line in text.splitlines() if line.startswith(">"))


__all__ = [
    "BOT_QUOTED",
    "CONTEXTLESS",
    "DUMP",
    "DUPLICATE",
    "FLOOD",
    "LINK_ALONE",
    "MASH",
    "WALL",
    "unworthy",
]
