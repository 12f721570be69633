"""A made-up village that has talked for two months: its past, one more day, and a scorer of rude words."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from ledger.records import Message
from trainer.choosing.server_past import DAY_MS, ServerPast

FIRST_DAY = 1_772_000_000_000 // DAY_MS * DAY_MS
DAYS = 60
NOW = FIRST_DAY + (DAYS + 1) * DAY_MS
"""The night after the village's last day."""
PEOPLE = range(1, 16)
CHANNEL = 100

_WHO = ("the baker", "our choir", "my sister", "the postman", "that cat", "everybody", "the mayor", "Otto")
_DOES = ("feeds", "paints", "hides", "sells", "borrows", "counts", "forgets", "washes", "repairs", "moves")
_WHAT = (
    "the sourdough",
    "a lamp",
    "two ladders",
    "the umbrella",
    "my bicycle",
    "those keys",
    "the shed door",
)
_WHERE = ("behind the bakery", "on Thursday", "at the lake", "before lunch", "in the rain", "near the school")
_SAYS = ("I think", "did you know that", "no,", "well,", "they say", "look:", "really,", "as ever,")
RUDE = frozenset(("idiot", "idiots", "moron", "morons", "loser", "losers", "imbeciles", "fools"))
RUDE |= {"stupid", "dumb", "pathetic"}


def sentence(draw: random.Random) -> str:
    ends = f"{draw.choice(_WHAT)} {draw.choice(_WHERE)}"
    who = f"{draw.choice(_SAYS)} {draw.choice(_WHO)}"
    return f"{who} {draw.choice(_DOES)} {ends} and {draw.choice(_DOES)} {ends}"


def said(number: int, text: str, *, author: int, at: int) -> Message:
    return Message(number, 1, CHANNEL, author, f"member {author}", text, at)


def day(number: int, *, people: Iterable[int] = PEOPLE, each: int = 6) -> list[Message]:
    """Return one day: everybody says ``each`` sentences, none of them alike."""
    draw, start = random.Random(number), FIRST_DAY + number * DAY_MS
    who = [person for person in people for _ in range(each)]
    draw.shuffle(who)
    return [
        said(
            number * 10_000 + n + 1,
            f"{sentence(draw)} {draw.randrange(10**9)} {draw.randrange(10**9)}",
            author=person,
            at=start + n * 120_000,
        )
        for n, person in enumerate(who)
    ]


def past(days: int = DAYS) -> ServerPast:
    return ServerPast.of(message for number in range(days) for message in day(number, each=2))


def last_day() -> list[Message]:
    return day(DAYS)


def rudeness(texts: Sequence[str]) -> list[float]:
    return [float(not RUDE.isdisjoint(text.casefold().split())) for text in texts]
