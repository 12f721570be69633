"""A queue of questions on a clock of its own, with paper to answer on."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp

from bot.serving.engine_client import Address, AnswerSampling, EngineClient
from bot.serving.served_versions import ServedVersions
from bot.talking.answering import (
    Answering,
    Question,
)
from bot.talking.scribe import Scribes
from bot.talking.thinking import Prompt
from ledger.store import Ledger
from ledger.talk.prompts import Turn
from tests.bot.house import BASE

SAMPLING = AnswerSampling(max_tokens=16, temperature=0.0, top_p=1.0)


TURNS: list[Turn] = [
    {"role": "system", "content": "You are Nightschool."},
    {"role": "user", "content": "ann: hello"},
]


CHANNELS = itertools.count(1)


class Ticks:
    """A clock for the pace: it moves when a test moves it, or when somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Paper:
    """A destination that keeps what was written, and when."""

    def __init__(self, ticks: Ticks, *, fails: bool = False) -> None:
        self.shown: list[tuple[float, str]] = []
        self._ticks = ticks
        self._fails = fails
        self.channel = next(CHANNELS)
        self.signals = 0
        self.withdrawn = False

    async def signal(self) -> None:
        self.signals += 1

    async def withdraw(self) -> None:
        self.withdrawn = True

    async def show(self, text: str) -> None:
        if self._fails:
            raise RuntimeError("no paper")
        self.shown.append((self._ticks.time, text))

    @property
    def text(self) -> str:
        return self.shown[-1][1]


class Desk:
    """Asks questions and notes what became of them."""

    def __init__(self, answering: Answering, ticks: Ticks) -> None:
        self.answering = answering
        self.ticks = ticks
        self.answered: list[tuple[str, str | None]] = []

    def ask(
        self,
        asker: int = 1,
        *,
        turns: Callable[[], Awaitable[Sequence[Turn]]] | None = None,
        fails: bool = False,
        guild: int | None = None,
        number: int = 0,
    ) -> Paper:
        paper = Paper(self.ticks, fails=fails)

        async def prompt() -> Prompt:
            return Prompt(TURNS if turns is None else await turns(), {"Nightschool", "ann", "ben"})

        async def note(text: str, version: str | None) -> None:
            self.answered.append((text, version))

        assert self.answering.ask(Question(guild, asker, prompt, paper, note, number)) is None
        return paper

    def refused(self, asker: int, *, channel: int | None = None) -> str:
        """Ask what is not taken; return what is said to that."""
        paper = Paper(self.ticks)
        paper.channel = paper.channel if channel is None else channel

        async def never(*_: object) -> Prompt:
            raise AssertionError("it was not to be taken")

        declined = self.answering.ask(Question(None, asker, never, paper, never))  # type: ignore[arg-type]
        assert declined is not None
        return declined.text


@asynccontextmanager
async def desk_at(
    url: str, ledger: Ledger, ticks: Ticks, *, key: str = "", base: str = BASE, **options: float
) -> AsyncIterator[Desk]:
    settings = {
        "workers": 1,
        "queue_size": 4,
        "cooldown_seconds": 0.0,
        **options,
    }
    async with aiohttp.ClientSession() as session:
        client = EngineClient(session, lambda: Address(url, key, base))
        async with (
            ServedVersions(ledger, client) as serving,
            Scribes(interval_seconds=1.0, monotonic=ticks, sleep=ticks.sleep) as scribes,
            Answering(
                client,
                serving,
                scribes,
                sampling=SAMPLING,
                monotonic=ticks,
                sleep=ticks.sleep,
                **settings,  # type: ignore[arg-type]
            ) as answering,
        ):
            yield Desk(answering, ticks)
