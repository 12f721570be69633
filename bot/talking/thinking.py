"""From a prompt to the model's words: asks the engine, and asks again where that helps.

Knows no queue and no Discord: it gets a prompt, and passes on the words that may be shown so far.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from bot.serving.engine_client import AT_LIMIT, AnswerSampling, EngineClient, EngineRefusal
from bot.serving.served_versions import ServedVersions
from bot.talking.asides import aside
from bot.talking.manners import Mouth
from ledger.errors import EngineLoading
from ledger.talk.prompts import Turn, shortened

WAKING = "I'm just waking up. Give me a moment."
ATTEMPTS = 4
"""How often to ask for an answer: three halvings of the prompt fit even text with two tokens a letter."""
LIVELY = 0.7
"""The lowest temperature of a second try: at zero the same nothing would come out again."""
STOPS = 16
"""Stop sequences in a request. They only save work: the mouth cuts an answer at any of the names anyway."""
WAKING_SECONDS = 120.0
"""How long a question waits for an engine that is still loading its model."""
WAKING_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to ask the model; it must not write lines for anybody in ``names``."""

    turns: Sequence[Turn]
    names: Collection[str] = ()


class Withdrawn(Exception):
    """Nobody wants the answer any more."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who waits for the answer."""

    guild_id: int | None
    grow: Callable[[str], None]
    """Takes the whole answer so far."""
    gone: Callable[[], bool]
    """Tells whether the question was withdrawn."""


class Thinking:
    """Asks the engine for answers, by whichever version serves."""

    def __init__(
        self,
        engine: EngineClient,
        serving: ServedVersions,
        sampling: AnswerSampling,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._engine = engine
        self._serving = serving
        self._sampling = sampling
        self._monotonic = monotonic
        self._sleep = sleep

    async def answer(self, prompt: Prompt, listener: Listener) -> tuple[str, str | None]:
        """Return the answer and the version that wrote it; ask once more if it is empty.

        Raises:
            Withdrawn: the question was withdrawn meanwhile.
            EngineError: there is no answer to be had.
        """
        text, version = await self._generate(prompt, listener, self._sampling)
        if not text:
            # A small model sometimes ends its answer before the first word.
            # Without its seed, too, which would draw the same nothing again.
            lively = replace(self._sampling, temperature=max(self._sampling.temperature, LIVELY), seed=None)
            text, version = await self._generate(prompt, listener, lively)
        return text, version

    async def _generate(
        self, prompt: Prompt, listener: Listener, sampling: AnswerSampling
    ) -> tuple[str, str | None]:
        """Stream one answer to its listener; return its text and the version that wrote it.

        Asks again when the engine has restarted and no longer holds the version (404), when it finds the
        prompt too long (400; then with the newer half of the context), and once it has loaded its model.
        """
        turns, attempt, awake_by = prompt.turns, 0, self._monotonic() + WAKING_SECONDS
        while True:
            # The lease ends before any waiting below: a version that nobody is using can be unloaded.
            async with self._serving.lease(listener.guild_id) as (model, version):
                try:
                    return await self._stream(
                        model, replace(prompt, turns=turns), listener, sampling
                    ), version
                except EngineLoading:
                    if self._monotonic() >= awake_by:
                        raise
                    loading, lost = True, False
                except EngineRefusal as error:
                    attempt += 1
                    # For the base a 404 is final: there is no version to load again.
                    loading, lost = False, error.status == 404 and version is not None
                    if attempt == ATTEMPTS or not (lost or error.status == 400):
                        raise
            if loading:
                listener.grow(aside(WAKING))
                await self._sleep(WAKING_POLL_SECONDS)
            elif lost and version is not None:
                self._serving.forget(version)
                await self._serving.sync()
            else:
                turns = shortened(turns, max_characters=sum(len(turn["content"]) for turn in turns) // 2)

    async def _stream(self, model: str, prompt: Prompt, listener: Listener, sampling: AnswerSampling) -> str:
        mouth, finish = Mouth(prompt.names), ""
        # A small model writes the other speakers' lines, too. The mouth would cut them; this saves the
        # engine from generating them in the first place.
        stop = [f"\n{name}:" for name in sorted(prompt.names)][:STOPS]
        stream = self._engine.stream(model, prompt.turns, sampling, guild_id=listener.guild_id, stop=stop)
        # Closing the stream early closes the connection, by which the engine knows to stop generating.
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                if listener.gone():
                    raise Withdrawn
                if text := mouth.say(piece.text):
                    listener.grow(text)
                finish = piece.finish or finish
                if mouth.over:
                    break
        return mouth.finish(at_limit=finish == AT_LIMIT)
