"""The model's forward passes: a token for all rows that write, and portions of the prompts that are read.

Imported, not run. Its border: rows and logits; it knows no queue, no threads and no HTTP. One
:class:`Batch` belongs to one thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from engine.computing.cache import Part, RowCache
from engine.computing.cores import WritingCores, use_threads
from engine.computing.forward import Forward
from engine.computing.prefix_store import PrefixStore
from engine.generating.penalties import adjusted
from engine.generating.prefill import Portion, Prefill
from engine.generating.requests import Answer
from engine.generating.token_sampling import draw
from ledger.errors import EngineError

log = logging.getLogger(__name__)

_NARROW, _NARROW_CORES = 1024, 2
"""Hidden size below which one row's products are too small to share among many CPU cores."""
_COPYING = 1
"""Threads that copy rows: beside other work two wait for each other at each of some hundred copies, and took
190 ms for what one copied in 60 (eight rows of 200 tokens in float32, all layers)."""


class Batch:
    """The rows that generate together."""

    def __init__(
        self,
        forward: Forward,
        *,
        stop_ids: frozenset[int],
        prefixes: PrefixStore | None = None,
        threads: int | None = None,
    ) -> None:
        """``threads`` are the CPU threads that the batch's thread may use; None: as many as this one does.

        ``prefixes`` keeps what rows hold when they leave, for the prompts that begin alike.
        """
        self._model = forward
        self._prefixes = prefixes or PrefixStore()
        self._stop_ids = stop_ids
        self._reading_threads = threads or torch.get_num_threads()
        narrow = forward.device.type == "cpu" and forward.width < _NARROW
        self._cores = WritingCores(min(_NARROW_CORES, self._reading_threads)) if narrow else None
        self._cache: RowCache | None = None
        self.answers: list[Answer] = []

    def prefill(self, answer: Answer) -> Prefill:
        """Begin to read a prompt, behind what is known of its beginning."""
        known = self._prefixes.find(answer.request.adapter, answer.request.prompt)
        return Prefill(answer, known or RowCache.empty(self._model.layers))

    def remember(self, answer: Answer, cache: RowCache, row: int = 0) -> None:
        """Keep what a row holds that goes: the next prompt of its conversation begins alike."""
        if answer.failed or not cache.lengths[row]:
            return
        columns = cache.lengths[row]
        tokens = [*answer.request.prompt, *answer.said][:columns]
        try:
            self._prefixes.keep(answer.request.adapter, tokens, cache.beginning(row, columns))
        except RuntimeError as error:  # PyTorch's for memory that ran out; no answer depends on what is kept
            log.warning("there is no memory to keep prompts in (%s)", type(error).__name__)
            self._prefixes.clear()

    def advance(self, portions: Sequence[Portion] = ()) -> list[Prefill]:
        """Write one token in every row, and read portions of prompts beside them.

        Returns the prompts that are read to the end; their first token is drawn, and they may :meth:`join`.
        Where it raises, nothing is read and nothing written.
        """
        parts = [] if self._cache is None else [self._writing(self._cache)]
        parts += [self._portion(prefill, count) for prefill, count in portions]
        if not parts:
            return []
        # What is read in part has no use for its logits.
        ends = [True] * (len(parts) - len(portions)) + [count == each.left for each, count in portions]
        done = [prefill for prefill, count in portions if count == prefill.left]
        columns = [part.cache.columns for part in parts]
        try:
            with self._threads():
                logits = self._model.last_logits(parts)
            drawn = [each for each, end in zip(logits, ends, strict=True) if end]
            scores = torch.cat(drawn) if drawn else None
        except Exception:
            # Some layers may hold the new columns already: the rows must be able to go on without them.
            for part, before in zip(parts, columns, strict=True):
                part.cache.rewind(before)
            raise
        for part in parts:
            part.cache.lengths = [length + part.ids.shape[1] for length in part.cache.lengths]
        if scores is not None:
            self._take([*self.answers, *(prefill.answer for prefill in done)], scores)
        return done

    def join(self, read: Sequence[Prefill]) -> None:
        """Let rows whose prompts are read write with the others."""
        if not read:
            return
        answers = [*self.answers, *(prefill.answer for prefill in read)]
        caches = ([] if self._cache is None else [self._cache]) + [prefill.cache for prefill in read]
        order = by_adapter(answers)
        if len(caches) > 1:
            use_threads(_COPYING)
            caches[0].join(caches[1:], [answers.index(answer) for answer in order])
        self._cache, self.answers = caches[0], order

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Compute on as many threads as what is due can use."""
        if self.answers and self._cores:
            with self._cores.step():
                yield
        else:
            use_threads(self._reading_threads)
            yield

    def drop(self, gone: Callable[[Answer], bool]) -> list[Answer]:
        """Take out the rows for which ``gone`` is true, and return them."""
        left = [row for row, answer in enumerate(self.answers) if not gone(answer)]
        kept = [self.answers[row] for row in left]
        dropped = [answer for answer in self.answers if answer not in kept]
        if dropped:
            use_threads(_COPYING)
            for row, answer in enumerate(self.answers):
                if self._cache is not None and row not in left:
                    self.remember(answer, self._cache, row)
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

    def _writing(self, cache: RowCache) -> Part:
        ids = [[answer.said[-1]] for answer in self.answers]
        return Part(self._ids(ids), cache.starts, cache, [each.request.adapter for each in self.answers])

    def _portion(self, prefill: Prefill, count: int) -> Part:
        return Part(self._ids([prefill.next(count)]), [0], prefill.cache, [prefill.answer.request.adapter])

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
