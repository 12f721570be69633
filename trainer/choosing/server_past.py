"""What a server said before tonight: who wrote, since when, and in which words.

Pure; grows with :meth:`ServerPast.add`, so that a replay of many nights reads each message once.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ledger.records import Message
from ledger.shingles import runs
from ledger.talk.prompts import readable
from trainer.choosing.language import LINK
from trainer.choosing.near_duplicates import weight, words_of

DAY_MS = 86_400_000
NEW_DAYS = 14
"""An account is new for so long after its first message here."""
SETTLED_DAYS = 28
"""A record that is younger than this knows nobody from before, so nobody in it counts as new."""
WORDY_MESSAGES = 1000
"""A past of fewer messages lacks most words of its own language: in one of 500, questions looked foreign."""
RUN = 4
"""Words in a row by which a slogan is known again, with a few others around it."""


def spoken(text: str) -> list[str]:
    """Return a message's words, without links and mentions."""
    return words_of(LINK.sub(" ", readable(text, {})))


def phrases(words: Sequence[str]) -> set[int]:
    """Return the hashes of the runs of words that are a wording: four words, or eight unspaced characters.

    As hashes they hold within one process; two years of a busy server are 600,000, in 36 MB.
    """
    return {hash(run) for length in (RUN, 2 * RUN) for run in runs(words, length) if weight(run) == RUN}


@dataclass(slots=True)
class ServerPast:
    """A server's earlier messages."""

    since: int | None = None
    """When the first message was written, in milliseconds."""
    first_seen: dict[int, int] = field(default_factory=dict)
    """When each person first wrote."""
    texts: defaultdict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    """What each person wrote."""
    speakers: dict[str, int] = field(default_factory=dict)
    """Who used a word first; 0 once somebody else did, too."""
    heard: Counter[str] = field(default_factory=Counter)
    """In how many messages each word stands."""
    count: int = 0
    _newest: deque[str] = field(default_factory=lambda: deque(maxlen=1000))
    phrases: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, messages: Iterable[Message]) -> ServerPast:
        """Return the past that these messages are."""
        past = cls()
        past.add(messages)
        return past

    def add(self, messages: Iterable[Message]) -> None:
        """Add messages, in any order."""
        for message in sorted(messages, key=lambda each: (each.created_at, each.id)):
            at, author = message.created_at, message.author_id
            self.since = at if self.since is None else min(self.since, at)
            self.first_seen[author] = min(at, self.first_seen.get(author, at))
            self.texts[author].append(message.content)
            words = spoken(message.content)
            self.count += 1
            self._newest.append(message.content)
            self.heard.update(set(words))
            for word in words:
                if self.speakers.setdefault(word, author) != author:
                    self.speakers[word] = 0
            self.phrases |= phrases(words)

    def date(self, begun: int | None, first_written: Mapping[int, int]) -> None:
        """Tell since when there is a record, and since when people have written, where more was said than was
        added; in milliseconds.
        """
        if begun is not None:
            self.since = begun if self.since is None else min(begun, self.since)
        for person, at in first_written.items():
            self.first_seen[person] = min(at, self.first_seen.get(person, at))

    def newcomers(self, tonight: Mapping[int, int], *, now: int) -> set[int]:
        """Return who is new, of people by the time of their first message tonight; in milliseconds."""
        if self.since is None or now - self.since < SETTLED_DAYS * DAY_MS:
            return set()
        return {
            person
            for person, at in tonight.items()
            if now - min(at, self.first_seen.get(person, at)) < NEW_DAYS * DAY_MS
        }

    def newest(self, count: int) -> list[str]:
        """Return the texts that were added last, a thousand at most."""
        return list(self._newest)[-count:]

    @property
    def knows_its_language(self) -> bool:
        """Whether so much was said that a word which nobody used is strange."""
        return self.count >= WORDY_MESSAGES

    def unknown(self, words: Iterable[str], author: int) -> int:
        """Return how many of the words nobody but ``author`` has ever used here; numbers are known."""
        return sum(self.speakers.get(word, author) == author for word in words if not word.isdigit())


__all__ = ["ServerPast", "phrases", "spoken"]
