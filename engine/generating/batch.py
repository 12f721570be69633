"""The model's forward passes: prompts read in portions, then one token a step for all rows.

Imported, not run. Its border: rows and logits; it knows no queue, no threads and no HTTP. One
:class:`Batch` belongs to one thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch

from engine.computing.cache import RowCache
from engine.computing.cores import WritingCores, use_threads
from engine.computing.forward import Forward
from engine.generating.penalties import adjusted
from engine.generating.requests import Answer
from engine.generating.token_sampling import draw
from ledger.errors import EngineError

log = logging.getLogger(__name__)

_NARROW, _NARROW_CORES = 1024, 2
"""Hidden size below which one row's products are too small to share among many CPU cores."""


class Prefill:
    """Prompts on their way into the batch: a long one in portions, or several short ones in one pass."""

    def __init__(self, answers: list[Answer], layers: int) -> None:
        self.answers = by_adapter(answers)
        self.cache = RowCache(layers)
        self.read = 0

    @property
    def width(self) -> int:
        """Tokens of the longest prompt."""
        return max(len(answer.request.prompt) for answer in self.answers)


class Batch:
    """The rows that generate together."""

    def __init__(self, forward: Forward, *, stop_ids: frozenset[int], threads: int | None = None) -> None:
        """``threads`` are the CPU threads that the batch's thread may use; None: as many as this one does."""
        self._model = forward
        self._stop_ids = stop_ids
        self._reading_threads = threads or torch.get_num_threads()
        narrow = forward.device.type == "cpu" and forward.width < _NARROW
        self._cores = WritingCores(min(_NARROW_CORES, self._reading_threads)) if narrow else None
        self._cache: RowCache | None = None
        self.answers: list[Answer] = []

    def prefill(self, answers: list[Answer]) -> Prefill:
        """Begin to read the prompts of ``answers``."""
        return Prefill(answers, self._model.layers)

    def read(self, prefill: Prefill, portion: int) -> bool:
        """Read the next ``portion`` columns; return True once all is read and the rows may :meth:`join`."""
        use_threads(self._reading_threads)
        alone = len(prefill.answers) == 1
        logits = self._read_one(prefill, portion) if alone else self._read_many(prefill)
        if prefill.read < prefill.width:
            return False
        self._take(prefill.answers, logits)
        return True

    def _read_one(self, prefill: Prefill, portion: int) -> torch.Tensor:
        # One prompt alone has no padding, so its portions need no bookkeeping but how many were read.
        part = prefill.answers[0].request.prompt[prefill.read : prefill.read + portion]
        logits = self._forward(prefill.answers, self._ids([part]), [0], prefill.cache)
        prefill.read += len(part)
        prefill.cache.lengths = [prefill.read]
        return logits

    def _read_many(self, prefill: Prefill) -> torch.Tensor:
        prompts = [answer.request.prompt for answer in prefill.answers]
        width = prefill.width
        # Padding stands on the left, so that all rows end at the same column and one step writes one column.
        # Which token pads is all the same: the mask hides it.
        ids = self._ids([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        starts = [width - len(prompt) for prompt in prompts]
        logits = self._forward(prefill.answers, ids, starts, prefill.cache)
        prefill.read = width
        prefill.cache.lengths = [len(prompt) for prompt in prompts]
        return logits

    def join(self, prefill: Prefill) -> None:
        """Let rows whose prompts are read write with the others."""
        if self._cache is None:
            self._cache = prefill.cache
        else:
            self._cache.join(prefill.cache)
        self.answers += prefill.answers
        order = by_adapter(self.answers)
        if order != self.answers:
            self._cache.keep([self.answers.index(answer) for answer in order])
            self.answers = order

    def step(self) -> None:
        """Write one token in every row."""
        cache = self._cache
        if cache is None:
            return
        with self._cores.step() if self._cores else nullcontext():
            ids = self._ids([[answer.last] for answer in self.answers])
            logits = self._forward(self.answers, ids, cache.starts, cache)
        cache.lengths = [length + 1 for length in cache.lengths]
        self._take(self.answers, logits)

    def drop(self, gone: Callable[[Answer], bool]) -> list[Answer]:
        """Take out the rows for which ``gone`` is true, and return them."""
        left = [row for row, answer in enumerate(self.answers) if not gone(answer)]
        kept = [self.answers[row] for row in left]
        dropped = [answer for answer in self.answers if answer not in kept]
        if dropped:
            # Before the rows go: it copies memory, and where that fails, all of them have to be broken off.
            if self._cache is not None and left:
                self._cache.keep(left)
            else:
                self._cache = None
            self.answers = kept
        return dropped

    def _take(self, answers: Sequence[Answer], logits: torch.Tensor) -> None:
        """Draw a token for each row; a row that cannot go on breaks off alone."""
        # amax passes NaN on, so one number a row tells whether all 49,152 are sound.
        sound = logits.amax(dim=-1).isfinite().tolist()
        rows = [row for row, fine in enumerate(sound) if fine]
        for answer, fine in zip(answers, sound, strict=True):
            if not fine:
                answer.fail(_overflow(answer))
        try:
            self._draw([answers[row] for row in rows], logits if all(sound) else logits[rows])
        except Exception as error:  # must not reach the rows that did not cause it, so each draws alone
            log.exception("a draw failed (%s); each row draws alone", type(error).__name__)
            for row in rows:
                self._draw_alone(answers[row], logits[row : row + 1])

    def _draw(self, answers: Sequence[Answer], logits: torch.Tensor) -> None:
        if not answers:
            return
        dice = [answer.dice for answer in answers]
        tokens = draw(adjusted(logits, dice, self._stop_ids), dice)
        for answer, token in zip(answers, tokens, strict=True):
            try:
                answer.take(token, self._stop_ids)
            except Exception as error:  # as above
                log.exception("an answer failed (%s)", type(error).__name__)
                answer.fail(broke_off(error))

    def _draw_alone(self, answer: Answer, logits: torch.Tensor) -> None:
        try:
            self._draw([answer], logits)
        except Exception as error:  # as above
            log.exception("an answer's draw failed (%s)", type(error).__name__)
            answer.fail(broke_off(error))

    def _forward(
        self, answers: Sequence[Answer], ids: torch.Tensor, starts: Sequence[int], cache: RowCache
    ) -> torch.Tensor:
        """Return the logits of the last column, [rows, vocabulary]."""
        # Before every pass: the slots compute for whichever rows were selected last.
        self._model.bank.select([answer.request.adapter for answer in answers])
        return self._model.last_logits(ids, starts, cache)

    def _ids(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor([list(row) for row in rows], dtype=torch.long, device=self._model.device)


def by_adapter(answers: Sequence[Answer]) -> list[Answer]:
    """Return the answers in an order in which those of an adapter stand together, as adapters need them."""
    return sorted(answers, key=lambda answer: answer.request.adapter or "")


def broke_off(error: Exception) -> EngineError:
    """Return what to tell somebody whose answer ``error`` ended."""
    if isinstance(error, torch.OutOfMemoryError):
        return EngineError("The engine ran out of GPU memory: lower [engine] max_batch or context_tokens.")
    return EngineError(f"The engine failed while it computed ({type(error).__name__}); see its log.")


def _overflow(answer: Answer) -> EngineError:
    name = answer.request.adapter or "the base model"
    return EngineError(f"What {name} computed is no number: its weights are broken, make or load another.")
