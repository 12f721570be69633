"""Continuous batching: one thread that owns the model and works on many requests between tokens.

Imported, not run. Its border: requests in, events out; it knows no HTTP, no files and no hashes.
With each token the thread reads a little of the prompts that wait; between two it drops finished and
cancelled rows and installs or removes adapters. So nobody waits for somebody else's whole answer. A retired
adapter finishes the requests that it has and takes no new ones; the last to finish removes it.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

import torch

from engine.computing.forward import Forward
from engine.computing.lora_bank import Weights
from engine.computing.prefix_store import PrefixStore
from engine.generating.batch import Batch, broke_off
from engine.generating.pace import Pace
from engine.generating.prefill import Portion, Prefill, due, shared_out
from engine.generating.requests import Answer, Request
from engine.generating.roster import Roster
from ledger.errors import AdapterError, EngineBusy, EngineError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

PREFILL_TOKENS = {"cpu": 256, "mps": 512, "cuda": 2048}
"""Prompt tokens read in a pass while nobody writes: about 0.3 s on two CPU cores with the small model."""


class Generator:
    """Serves one base model and its adapters: ``submit``, ``install`` and ``retire`` from any thread."""

    def __init__(
        self,
        forward: Forward,
        tokenizer: PreTrainedTokenizerBase,
        *,
        stop_ids: frozenset[int],
        stop_texts: Sequence[str] = (),
        max_batch: int = 8,
        max_waiting: int = 64,
        threads: int | None = None,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        # A copy, because a fast tokenizer that two threads use at once raises "Already borrowed".
        self._tokenizer = copy.deepcopy(tokenizer)
        self._stop_texts = tuple(stop_texts)
        self._bank = forward.bank
        self._prefixes = PrefixStore()
        self._batch = Batch(forward, stop_ids=stop_ids, prefixes=self._prefixes, threads=threads)
        self._pace = Pace(PREFILL_TOKENS[forward.device.type], together=forward.together)
        self._reading: list[Prefill] = []
        self._max_batch, self._max_waiting = max_batch, max_waiting
        self._on_death = on_death
        self._wake = threading.Condition()
        # Everything from here to tokens_read is touched only while the condition's lock is held. The batch
        # and the bank belong to the thread alone, and need none.
        self._waiting: deque[Answer] = deque()
        self._commands: deque[Callable[[], None]] = deque()
        self._roster = Roster()
        self._live = self._submitted = 0
        self._closing = self._dead = False
        self.tokens_read = 0
        self.tokens_written = 0
        # A daemon: a model in the middle of a step must not keep the process alive that was told to end.
        self._thread = threading.Thread(target=self._run, name="generator", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Take no more requests, give the running ones ``seconds`` to finish, then break them off."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(seconds)
        self._fail_all(EngineError("The engine was stopped; ask again once it is back."))
        self._thread.join(1.0)

    @property
    def adapters(self) -> frozenset[str]:
        """Adapters that take requests."""
        with self._wake:
            return self._roster.serving

    @property
    def loaded(self) -> int:
        """Adapters in memory, including retiring ones."""
        return len(self._bank.names)

    @property
    def capacity(self) -> int:
        """How many requests may be here at once, including those that wait."""
        return self._max_batch + self._max_waiting

    @property
    def load(self) -> tuple[int, int]:
        """How many requests generate or are being read, and how many wait."""
        with self._wake:
            return self._live - len(self._waiting), len(self._waiting)

    def submit(self, request: Request) -> Answer:
        """Queue a request; its events arrive from now on.

        Raises:
            EngineBusy: as many wait as may.
            AdapterError: the adapter is not loaded, or is being unloaded.
            EngineError: the engine is stopping.
        """
        answer = Answer.to(request, self._tokenizer, self._stop_texts)
        with self._wake:
            if self._closing or self._dead:
                raise EngineError("The engine is stopping; ask again in a moment.")
            if self._live >= self.capacity:
                raise EngineBusy(f"{self._max_waiting} requests wait already; try again in a few seconds.")
            self._roster.enter(request.adapter)
            self._live += 1
            answer.due = due(answer, self._submitted)
            self._submitted += len(request.prompt)
            self._waiting.append(answer)
            self._wake.notify()
        return answer

    def install(self, name: str, weights: Weights) -> Future[None]:
        """Have the thread install an adapter between two tokens; the future ends when it takes requests.

        The future raises AdapterError if the adapter does not fit the base model.
        """
        done: Future[None] = Future()
        self._command(lambda: self._install(name, weights, done))
        return done

    def retire(self, name: str) -> Future[None]:
        """Take no new requests for an adapter; the future ends when its last request has left.

        Raises:
            AdapterError: it is not loaded.
        """
        with self._wake:
            done = self._roster.retire(name)
            self._wake.notify()
        return done

    def revive(self, name: str) -> bool:
        """Let an adapter that is retiring take requests again; False when it is not retiring."""
        with self._wake:
            return self._roster.revive(name)

    def _command(self, command: Callable[[], None]) -> None:
        with self._wake:
            self._commands.append(command)
            self._wake.notify()

    def _install(self, name: str, weights: Weights, done: Future[None]) -> None:
        try:
            self._bank.install(name, weights)
        except Exception as error:  # a broken adapter must not end the thread that serves the others
            if not isinstance(error, AdapterError):
                log.exception("an adapter could not be installed (%s)", type(error).__name__)
            self._bank.remove(name)  # some of its layers may be installed already
            done.set_exception(error if isinstance(error, AdapterError) else broke_off(error))
            return
        with self._wake:
            self._roster.add(name)
        done.set_result(None)

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while self._wait_for_work():
                    self._turn()
        finally:
            with self._wake:
                died = not self._closing
                self._dead = True
            self._fail_all(EngineError("The engine broke down; it is being started again."))
            # The process ends with its thread: the bot starts it anew, while a server without its model would
            # go on refusing for ever.
            if died:
                self._on_death()

    def _wait_for_work(self) -> bool:
        """Sleep until there is work; return False when the thread should end."""
        with self._wake:
            while not (self._has_work() or self._closing):
                # What was read is dropped in time, also while nobody asks.
                self._wake.wait(self._prefixes.expire())
            return self._has_work()

    def _has_work(self) -> bool:
        return bool(self._live or self._commands or self._roster.unused())

    def _turn(self) -> None:
        """Do whatever is due between two tokens, then write one token in each row and read beside it."""
        with self._wake:
            commands, self._commands = list(self._commands), deque()
        for command in commands:
            command()
        self._remove_unused()
        self._prefixes.expire()
        try:
            self._drop_cancelled()
            self._advance(self._choose())
            self._let_go(self._batch.drop(lambda answer: answer.over))
        except Exception as error:  # out of memory, say: the requests of this step end, the thread does not
            log.exception("a step failed (%s); its requests were broken off", type(error).__name__)
            self._break_off(broke_off(error))

    def _remove_unused(self) -> None:
        """Free the adapters whose last request has left."""
        with self._wake:
            unused = self._roster.unused()
            for name in unused:
                self._bank.remove(name)
                self._prefixes.forget(name)
                self._roster.removed(name)

    def _drop_cancelled(self) -> None:
        gone = self._batch.drop(lambda answer: answer.cancelled)
        with self._wake:
            gone += [answer for answer in self._waiting if answer.cancelled]
            self._waiting = deque(answer for answer in self._waiting if not answer.cancelled)
        gone += [prefill.answer for prefill in self._reading if prefill.answer.cancelled]
        self._reading = [prefill for prefill in self._reading if not prefill.answer.cancelled]
        self._let_go(gone)

    def _choose(self) -> list[Portion]:
        """Return what to read of which prompts in the next pass."""
        tokens = self._pace.tokens(len(self._batch.answers))
        with self._wake:
            # Prompts that are being read will be rows, too.
            room = self._max_batch - len(self._batch.answers) - len(self._reading)
            waiting = sorted(self._waiting, key=lambda answer: answer.due)[: max(room, 0)]
            reading = {prefill.answer: prefill for prefill in self._reading}
            line = sorted([*reading, *waiting], key=lambda answer: answer.due)
            # What is known of a prompt is looked for once: when its turn has come.
            prefills = (reading.get(answer) or self._batch.prefill(answer) for answer in line)
            portions = shared_out(prefills, tokens)
            begun = {prefill.answer: prefill for prefill, _ in portions}
            self._reading = list({**reading, **begun}.values())
            self._waiting = deque(answer for answer in self._waiting if answer not in begun)
        return portions

    def _advance(self, portions: Sequence[Portion]) -> None:
        """Write a token in each row and read these portions; rows whose prompts are read join."""
        writing, tokens = len(self._batch.answers), sum(count for _, count in portions)
        try:
            with self._pace.measured(writing, tokens):
                done = self._batch.advance(portions)
        except Exception as error:
            if not portions:
                raise
            # Rows that write carry on, with the next pass: what failed may be what was read.
            log.exception("reading failed (%s); its requests were broken off", type(error).__name__)
            self._break_off_reading([prefill for prefill, _ in portions], broke_off(error))
            return
        self.tokens_read += tokens
        self.tokens_written += writing + len(done)
        # An answer can be over before its first step: its prompt's last column already gave the end token.
        over = [prefill for prefill in done if prefill.answer.over]
        self._reading = [prefill for prefill in self._reading if prefill not in over]
        for prefill in over:
            self._batch.remember(prefill.answer, prefill.cache)
        self._let_go([prefill.answer for prefill in over])
        self._batch.join([prefill for prefill in done if prefill not in over])
        self._reading = [prefill for prefill in self._reading if prefill not in done]

    def _let_go(self, answers: Sequence[Answer]) -> None:
        with self._wake:
            for answer in answers:
                answer.over = True
                self._live -= 1
                self._roster.leave(answer.request.adapter)

    def _break_off(self, error: EngineError) -> None:
        """Fail everything that is being read or generated, and start over with an empty batch."""
        # If joining failed half-way, rows are in the batch and being read.
        reading = [prefill.answer for prefill in self._reading]
        broken = [*self._batch.answers, *(each for each in reading if each not in self._batch.answers)]
        for answer in broken:
            answer.fail(error)
        self._batch.drop(lambda _: True)
        self._reading = []
        self._let_go(broken)

    def _break_off_reading(self, broken: Sequence[Prefill], error: EngineError) -> None:
        """Fail what was being read; rows that write carry on."""
        self._reading = [prefill for prefill in self._reading if prefill not in broken]
        for prefill in broken:
            prefill.answer.fail(error)
        self._let_go([prefill.answer for prefill in broken])

    def _fail_all(self, error: EngineError) -> None:
        with self._wake:
            waiting = list(self._waiting)
        reading = [prefill.answer for prefill in self._reading]
        for answer in [*waiting, *reading, *self._batch.answers]:
            answer.cancel()
            answer.fail(error)
