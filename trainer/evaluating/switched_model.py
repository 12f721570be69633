"""One loaded base model whose adapters are switched: it scores rows and writes replies as any of them.

One base for all: the memory of one, and differences that come from the adapters alone. Knows rows, turns
and names; no dataset, no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from peft import PeftModel
from peft.helpers import rescale_adapter_scale

from engine.model.loading import choose_placement, load_base, load_tokenizer
from ledger.errors import RunCancelled
from ledger.talk.prompts import in_chair
from trainer.evaluating.reply_sampling import SampledReply, write_replies
from trainer.fitting.lora_training import pack_if_possible
from trainer.fitting.recipe import Base
from trainer.progress import Reporter, StageProgress, Stopwatch
from trainer.scoring.batches import EncodedRow
from trainer.scoring.packed_attention import use_packed_attention, use_plain_attention
from trainer.scoring.perplexity import score_rows
from trainer.scoring.tally import Tally
from trainer.stopping import STOPPED

BASE = "base"
"""The name by which the bare base model speaks."""
CANDIDATE, CHAMPION = "candidate", "champion"


class SwitchedModel:
    """A base with adapters by name; ``base`` among the names means none of them."""

    def __init__(
        self,
        base: Base,
        adapters: Mapping[str, Path],
        *,
        max_tokens: int,
        rows: Sequence[EncodedRow],
        packing: bool,
        reporter: Reporter,
        cancelled: Callable[[], bool],
    ) -> None:
        """Load the base and the adapters, whose files the caller has verified; may take minutes.

        ``rows`` are some to try packing on.

        Raises:
            ModelError: the base model cannot be loaded.
        """
        self.tokenizer = load_tokenizer(base.name, revision=base.revision, chat_template=base.chat_template)
        placement = choose_placement(base.device, base.quantization, base.dtype)
        model = load_base(base.name, revision=base.revision, placement=placement)
        self._base, self._adapted = model, bool(adapters)
        self._packed = pack_if_possible(model, rows[:3], wanted=packing and bool(rows))
        self._attends_packed = self._packed
        self._model: Any = _with_adapters(model, adapters) if adapters else model.eval()
        self._max_tokens, self._reporter, self._cancelled = max_tokens, reporter, cancelled
        self._watch = Stopwatch()
        self._done = self._steps = 0

    def expect(self, steps: int) -> None:
        """Note how many more rows and replies there will be."""
        self._steps += steps

    def score(self, name: str, rows: Sequence[EncodedRow], *, scale: float = 1.0) -> list[Tally]:
        """Return one tally a row, as the named model at ``scale`` of its strength."""
        if self._packed and not self._attends_packed:
            self._attends_packed = use_packed_attention(self._base)
        with self.speaking_as(name, scale):
            tallies = score_rows(
                self._model,
                rows,
                packed=self._packed,
                pad_id=int(self.tokenizer.pad_token_id or 0),
                on_batch=self._report,
            )
        self._done += len(rows)
        return tallies

    def write(
        self, name: str, contexts: Sequence[Sequence[Any]], *, scale: float = 1.0, **options: Any
    ) -> list[SampledReply]:
        """Return one reply a context; ``options`` are those of :func:`write_replies`.

        The base is asked in the form that it knows, as it is when it serves.
        """
        if not contexts:
            return []
        self.attend_plainly()
        with self.speaking_as(name, scale):
            replies = write_replies(
                self._model,
                self.tokenizer,
                [in_chair(turns) for turns in contexts] if name == BASE else contexts,
                max_prompt_tokens=self._max_tokens,
                on_batch=self._report,
                **options,
            )
        self._done += len(contexts)
        return replies

    def attend_plainly(self) -> None:
        """Leave packed attention, which knows neither a cache of the context nor padding."""
        use_plain_attention(self._base)
        self._attends_packed = False

    @contextmanager
    def speaking_as(self, name: str, scale: float = 1.0) -> Iterator[Any]:
        """Give the model while it speaks as the named one."""
        self._check()
        if name == BASE:
            with self._model.disable_adapter() if self._adapted else nullcontext():
                yield self._model
            return
        self._model.set_adapter(name)
        # Rescales all adapters of the model, of which one speaks.
        with rescale_adapter_scale(self._model, scale) if scale != 1.0 else nullcontext():
            yield self._model

    def _report(self, done: int, of: int) -> None:
        """Report progress through everything expected, not through this part alone."""
        self._check()
        step = self._done + done
        eta = self._watch.eta(step, self._steps)
        self._reporter(StageProgress("evaluate", step, self._steps, eta_seconds=eta))

    def _check(self) -> None:
        if self._cancelled():
            raise RunCancelled(STOPPED)


def _with_adapters(model: Any, adapters: Mapping[str, Path]) -> Any:
    names = list(adapters)
    adapted = PeftModel.from_pretrained(model, str(adapters[names[0]]), adapter_name=names[0])
    for name in names[1:]:
        adapted.load_adapter(str(adapters[name]), adapter_name=name)
    return adapted.eval()


__all__ = ["BASE", "CANDIDATE", "CHAMPION", "SwitchedModel"]
