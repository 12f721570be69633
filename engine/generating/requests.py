"""What the generator is asked, and what it reports while it works.

Imported, not run. Its border: plain values that pass between the HTTP server's event loop and the
generator's thread; nothing here computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from engine.generating.detokenising import Detokeniser, StopWatch
from engine.generating.token_sampling import Dice, SamplingParameters
from ledger.errors import NightschoolError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Reason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class TextPiece:
    """More text of an answer: whole characters, no stop sequence."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer's end: why, and how many tokens it read and wrote."""

    reason: Reason
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer broke off."""

    error: NightschoolError


Event = TextPiece | Finished | Failed


@dataclass(frozen=True, slots=True)
class Request:
    """One question. ``on_event`` is called in the generator's thread and must return at once."""

    prompt: Sequence[int]
    max_tokens: int
    on_event: Callable[[Event], None]
    adapter: str | None = None
    sampling: SamplingParameters = field(default_factory=SamplingParameters)
    stops: tuple[str, ...] = ()


@dataclass(slots=True, eq=False)
class Answer:
    """One answer under way: the caller keeps it to cancel, the generator to write it."""

    request: Request
    tokeniser: Detokeniser
    watch: StopWatch
    dice: Dice
    said: list[int] = field(default_factory=list)
    """The tokens that it has written."""
    cancelled: bool = False
    over: bool = False
    failed: bool = False
    """Whether what it holds may be broken, too."""
    due: int = 0
    """Place in line while its prompt waits: see :func:`engine.generating.prefill.due`."""

    @classmethod
    def to(cls, request: Request, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str]) -> Answer:
        """Prepare the answer to ``request``; ``stops`` are the template's own end marks."""
        watch = StopWatch([*request.stops, *stops])
        return cls(request, Detokeniser(tokenizer), watch, Dice(request.sampling, request.prompt))

    @property
    def written(self) -> int:
        """How many tokens it has written."""
        return len(self.said)

    def cancel(self) -> None:
        """Ask the generator to drop it; what it wrote is lost, and no more events arrive."""
        self.cancelled = True

    def take(self, token: int, stop_ids: frozenset[int]) -> None:
        """Take the next token, report the text that it completes, and note whether it was the last."""
        self.said.append(token)
        self.dice.note(token)
        # An end token is counted, as OpenAI and vLLM do, but has no text.
        if token in stop_ids:
            self._end("stop", self.tokeniser.finish())
            return
        text, stopped = self.watch.push(self.tokeniser.push(token))
        if stopped:
            self._tell(text)
            self._finish("stop")
        elif self.written >= self.request.max_tokens:
            self._tell(text)
            self._end("length", self.tokeniser.finish())
        else:
            self._tell(text)

    def fail(self, error: NightschoolError) -> None:
        """Report that it broke off."""
        self.failed = True
        if not self.over:
            self.over = True
            self.request.on_event(Failed(error))

    def _end(self, reason: Reason, rest: str) -> None:
        text, stopped = self.watch.push(rest)
        self._tell(text if stopped else text + self.watch.finish())
        self._finish("stop" if stopped else reason)

    def _finish(self, reason: Reason) -> None:
        self.over = True
        self.request.on_event(Finished(reason, len(self.request.prompt), self.written))

    def _tell(self, text: str) -> None:
        if text and not self.cancelled:
            self.request.on_event(TextPiece(text))
