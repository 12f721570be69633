"""Candidate, champion and bare base on the same held-out replies, with one base model in memory.

``python -m trainer evaluate`` and the night both run ``evaluate``. It needs a dataset directory and adapter
directories; it knows no ledger and decides nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import PeftModel

from engine.model.adapter_files import verify
from engine.model.loading import base_fingerprint, choose_placement, load_base, load_tokenizer
from ledger.errors import AdapterError, RunCancelled
from ledger.learned.outcome import Sample
from trainer.evaluating.reply_sampling import counted, sample_replies
from trainer.fitting.lora_training import pack_if_possible
from trainer.fitting.recipe import Base
from trainer.judging.comparison import Evaluation, Scores
from trainer.judging.leakage import Corpus, Probe, judge_recitals, probes_of
from trainer.preparing.dataset_files import read_lines, read_manifest
from trainer.progress import Reporter, StageProgress, Stopwatch, silent
from trainer.scoring.encoded_rows import load_part, rows_of
from trainer.scoring.packed_attention import use_plain_attention
from trainer.scoring.perplexity import by_conversation, general_rows, score_rows
from trainer.scoring.tally import total
from trainer.stopping import STOPPED

log = logging.getLogger("trainer")

SHOWN = 3
"""Replies before and after that an outcome shows side by side."""
_CONTEXT_TURNS = 3
_TEMPERATURES = (0.0, 0.7)
"""Temperatures at which the model continues a probe: its likeliest words, and a draw."""
RECITAL_TOKENS = 28
"""Long enough for 8 words in any language's tokens, even when the first few differ."""


def evaluate(
    dataset_dir: Path,
    candidate: Path,
    *,
    base: Base,
    champion: Path | None = None,
    max_tokens: int,
    packing: bool = True,
    sampled_replies: int = 12,
    max_new_tokens: int = 40,
    corpus: Corpus | None = None,
    probes: int = 64,
    seed: int = 20,
    reporter: Reporter = silent,
    cancelled: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Score all models on the dataset's test part and on the general text, and sample replies.

    With ``corpus``, what the candidate learned from, it is tested with up to ``probes`` beginnings of its
    training replies (:mod:`trainer.judging.leakage`).

    A champion that was made for another base model, or was altered, is left out with a note: it could not
    serve either.

    Raises:
        DatasetError: the dataset is broken or has nothing to score.
        AdapterError: the candidate is altered or was made for another base.
        ModelError: the base model cannot be loaded.
        RunCancelled: ``cancelled`` asked for it.
    """
    # Checked before the base is loaded, which may take minutes.
    fingerprint = base_fingerprint(base.name, base.revision)
    verify(candidate, base_fingerprint=fingerprint)
    adapters, notes = {"candidate": candidate}, []
    if champion is not None:
        try:
            verify(champion, base_fingerprint=fingerprint)
            adapters["champion"] = champion
        except AdapterError as error:
            log.warning("the champion cannot be compared: %s", error)
            notes.append(f"The champion cannot serve any more, so the bare base is to be beaten: {error}")
    read_manifest(dataset_dir)
    tokenizer = load_tokenizer(base.name, revision=base.revision, chat_template=base.chat_template)
    test = rows_of(load_part(dataset_dir, "test", tokenizer, max_tokens=max_tokens))
    general = general_rows(tokenizer, max_tokens=max_tokens)
    placement = choose_placement(base.device, base.quantization, base.dtype)
    model = load_base(base.name, revision=base.revision, placement=placement)
    # One base model for all three: the memory of one, and differences that come from the adapters alone.
    packed = pack_if_possible(model, test[:3], wanted=packing)
    session = _Session(_with_adapters(model, adapters), tokenizer, packed, max_tokens, reporter, cancelled)
    contexts = _contexts(dataset_dir, sampled_replies)
    before = "champion" if "champion" in adapters else "base"
    tried: Sequence[Probe] = ()
    if corpus is not None:
        tried = probes_of(read_lines(dataset_dir, "train"), count=probes, seed=seed, secrets=corpus.secrets)
    names, sampled = ["base", *sorted(adapters, reverse=True)], [before, "candidate"]
    session.expect(
        len(names) * (len(test) + len(general))
        + len(sampled) * len(contexts)
        + len(_TEMPERATURES) * len(tried)
    )
    # Before the replies, whose sampling switches packed attention off for good.
    scores = session.score(names, test, general)
    replies = session.sample(sampled, contexts, max_new_tokens, seed)
    recitals = None
    if corpus is not None:
        recitals = judge_recitals(corpus, session.continue_probes("candidate", tried, seed))
    return Evaluation(
        {
            name: Scores(score.conversations, score.general, _counted(replies.get(name)))
            for name, score in scores.items()
        },
        tuple(
            Sample(context=_shown(context), before=old, after=new)
            for context, old, new in zip(contexts, replies[before], replies["candidate"], strict=True)
        )[:SHOWN],
        tuple(notes),
        recitals,
    )


def _with_adapters(model: Any, adapters: dict[str, Path]) -> Any:
    names = list(adapters)
    adapted = PeftModel.from_pretrained(model, str(adapters[names[0]]), adapter_name=names[0])
    for name in names[1:]:
        adapted.load_adapter(str(adapters[name]), adapter_name=name)
    return adapted.eval()


def _counted(replies: Sequence[str] | None) -> dict[str, float]:
    return counted(replies) if replies else {}


class _Session:
    """One loaded model whose adapters are switched."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        packed: bool,
        max_tokens: int,
        reporter: Reporter,
        cancelled: Callable[[], bool],
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._packed, self._max_tokens = packed, max_tokens
        self._reporter, self._cancelled = reporter, cancelled
        self._watch = Stopwatch()
        self._done = self._steps = 0

    def expect(self, steps: int) -> None:
        """Note how many rows, replies and probes there will be in all."""
        self._steps = steps

    def score(self, names: Sequence[str], test: Sequence[Any], general: Sequence[Any]) -> dict[str, Scores]:
        """Score each named model on both."""
        examples = [*test, *general]
        found: dict[str, Scores] = {}
        for name in names:
            with self._speaking_as(name):
                tallies = score_rows(
                    self._model,
                    examples,
                    packed=self._packed,
                    pad_id=int(self._tokenizer.pad_token_id or 0),
                    on_batch=self._report,
                )
            self._done += len(examples)
            held_out = tallies[: len(test)]
            found[name] = Scores(tuple(by_conversation(held_out, test)), total(tallies[len(test) :]))
        return found

    def sample(
        self, names: Sequence[str], contexts: Sequence[Any], max_new_tokens: int, seed: int
    ) -> dict[str, list[str]]:
        """Let each named model answer each context."""
        # Generation keeps a cache of the context, which packed attention does not know.
        use_plain_attention(self._model.get_base_model())
        found: dict[str, list[str]] = {}
        for name in names:
            with self._speaking_as(name):
                found[name] = sample_replies(
                    self._model,
                    self._tokenizer,
                    contexts,
                    max_new_tokens=max_new_tokens,
                    max_prompt_tokens=self._max_tokens,
                    seed=seed,
                    on_batch=self._report,
                )
            self._done += len(contexts)
        return found

    def continue_probes(self, name: str, probes: Sequence[Probe], seed: int) -> list[list[str]]:
        """Let the named model continue each probe's beginning: once greedily, once sampled."""
        if not probes:
            return []
        drawn = []
        with self._speaking_as(name):
            for temperature in _TEMPERATURES:
                drawn.append(
                    sample_replies(
                        self._model,
                        self._tokenizer,
                        [probe.turns for probe in probes],
                        beginnings=[probe.beginning for probe in probes],
                        max_new_tokens=RECITAL_TOKENS,
                        max_prompt_tokens=self._max_tokens,
                        temperature=temperature,
                        seed=seed,
                        on_batch=self._report,
                    )
                )
                self._done += len(probes)
        return [list(texts) for texts in zip(*drawn, strict=True)]

    @contextmanager
    def _speaking_as(self, name: str) -> Iterator[None]:
        self._check()
        if name == "base":
            with self._model.disable_adapter():  # the base without a copy of it
                yield
        else:
            self._model.set_adapter(name)
            yield

    def _report(self, done: int, of: int) -> None:
        """Report progress through the whole evaluation, not through this part alone."""
        self._check()
        step = self._done + done
        eta = self._watch.eta(step, self._steps)
        self._reporter(StageProgress("evaluate", step, self._steps, eta_seconds=eta))

    def _check(self) -> None:
        if self._cancelled():
            raise RunCancelled(STOPPED)


def _contexts(dataset_dir: Path, count: int) -> list[list[dict[str, Any]]]:
    """Return the turns before a reply, spread evenly over the test part."""
    found = [value["messages"][: value["targets"][-1]] for value in read_lines(dataset_dir, "test")]
    # Spread evenly: the newest conversations alone might all be about one evening's topic.
    step = max(len(found) / max(count, 1), 1)
    return [found[int(index * step)] for index in range(min(count, len(found)))]


def _shown(turns: Sequence[dict[str, Any]]) -> str:
    """Return the end of a context as lines."""
    return "\n".join(turn["content"] for turn in turns[-_CONTEXT_TURNS:] if turn["role"] != "system")[-600:]


__all__ = ["evaluate"]
