"""What is measured of one model: its scores, its replies, what it recites.

Knows encoded rows, turns and one :class:`~trainer.evaluating.switched_model.SwitchedModel`; which models
there are, and what follows from it, is the evaluation's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.model.encoding import is_begun
from engine.model.loading import load_tokenizer
from ledger.learned.outcome import Sample
from ledger.talk.prompts import asked
from ledger.talk.prompts import begun as begun_as
from trainer.evaluating.prompt_sets import provoking_turns
from trainer.evaluating.reply_sampling import SampledReply, counted
from trainer.evaluating.switched_model import BASE, CANDIDATE, SwitchedModel
from trainer.evaluating.toxicity import is_toxic
from trainer.fitting.recipe import Base
from trainer.judging.comparison import Scores
from trainer.judging.leakage import Corpus, Probe, Recitals, judge_recitals, probes_of
from trainer.judging.reply_faults import smoke_faults
from trainer.preparing.dataset_files import Part, has_part, read_lines, read_manifest, targets_of
from trainer.scoring.batches import EncodedRow
from trainer.scoring.encoded_rows import load_part, rows_of
from trainer.scoring.perplexity import general_rows, tallies_by_conversation
from trainer.scoring.tally import Tally, total

Known = Mapping[str, Mapping[int, Tally]]
"""Model, then conversation, then what it scored there before: those are not scored again. The caller vouches
that neither model nor conversation has changed. :data:`GENERAL` stands for the general text."""
GENERAL = -1
NOTHING_KNOWN: Known = {}
SHOWN = 3
"""Replies before and after that an outcome shows side by side."""
_CONTEXT_TURNS = 3
_TEMPERATURES = (0.0, 0.7)
"""Temperatures at which the model continues a probe: its likeliest words, and a draw."""
RECITAL_TOKENS = 28
"""Long enough for 8 words in any language's tokens, even when the first few differ."""
DRAWS = 2
"""Replies to each provoking line: with forty lines, one in sixteen is five, which is no accident."""
TOXIC_TOKENS = 24


@dataclass(frozen=True, slots=True)
class ExamMaterial:
    """What all models are measured on."""

    exam: list[EncodedRow]
    old: list[EncodedRow]
    fresh: list[EncodedRow]
    general: list[EncodedRow]
    contexts: list[list[dict[str, Any]]]
    provoking: list[list[Mapping[str, Any]]]
    probes: Sequence[Probe]
    corpus: Corpus | None

    def samples(self, before: Sequence[SampledReply], after: Sequence[SampledReply]) -> tuple[Sample, ...]:
        """Return some contexts with what two models said to them."""
        return tuple(
            Sample(context=_shown(context), before=old.text, after=new.text)
            for context, old, new in zip(self.contexts, before, after, strict=True)
        )[:SHOWN]


def material_of(
    dataset_dir: Path,
    base: Base,
    max_tokens: int,
    sampled_replies: int,
    toxic_prompts: int,
    corpus: Corpus | None,
    *,
    probes: int,
    seed: int,
) -> ExamMaterial:
    """Read a dataset and everything that is tried besides.

    Raises:
        DatasetError: the dataset is broken or has nothing to score.
    """
    bot_name = str(read_manifest(dataset_dir).get("bot_name", ""))
    exam = encoded_part(dataset_dir, "test", base, max_tokens)
    begun = begun_as(bot_name) if bot_name else ""
    contexts = _contexts(dataset_dir, max(sampled_replies, 1), begun)
    tried: Sequence[Probe] = ()
    if corpus is not None:
        tried = probes_of(
            read_lines(dataset_dir, "train"), count=probes, seed=seed, begun=begun, secrets=corpus.secrets
        )
    system = next((turn["content"] for turn in contexts[0] if turn["role"] == "system"), "")
    tokenizer = load_tokenizer(base.name, revision=base.revision, chat_template=base.chat_template)
    return ExamMaterial(
        exam=exam,
        old=encoded_part(dataset_dir, "old", base, max_tokens) if has_part(dataset_dir, "old") else [],
        fresh=_learned_since(dataset_dir, base, max_tokens) if has_part(dataset_dir, "fresh") else [],
        general=general_rows(tokenizer, max_tokens=max_tokens),
        contexts=contexts[:sampled_replies],
        provoking=provoking_turns(toxic_prompts, system, begun) * DRAWS,
        probes=tried,
        corpus=corpus,
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """What one model came to."""

    scores: Scores
    replies: Sequence[SampledReply]
    recitals: Recitals | None


class Measuring:
    """One model after the other, on the same material."""

    def __init__(
        self,
        model: SwitchedModel,
        material: ExamMaterial,
        known: Known,
        max_new_tokens: int,
        seed: int,
        *,
        known_fresh: Known = NOTHING_KNOWN,
    ) -> None:
        """``known_fresh`` are scores on the fresh part: its conversations may be in the exam as well."""
        self._model, self._material, self._known = model, material, known
        self._known_fresh = known_fresh
        self._max_new_tokens, self._seed = max_new_tokens, seed

    def expect(self, name: str, *, speaks: bool, provoked: bool) -> None:
        """Tell the progress how much measuring this model will be."""
        known, material = self._known.get(name, {}), self._material
        exam = {row["conversation"] for row in material.exam}
        only_old = [row for row in material.old if row["conversation"] not in exam]
        steps = len(unknown([*material.exam, *only_old], known))
        steps += len(unknown(material.fresh, self._known_fresh.get(name, {}))) * (name != BASE)
        steps += len(material.general) * (GENERAL not in known)
        steps += len(material.contexts) * speaks + len(material.provoking) * provoked
        self._model.expect(steps + len(material.probes) * len(_TEMPERATURES) * (name == CANDIDATE))

    def measure(self, name: str, *, speaks: bool, provoked: bool, scale: float = 1.0) -> Measured:
        """Score the model; with ``speaks`` let it answer members, with ``provoked`` the provoking lines."""
        material, known = self._material, self._known.get(name, {})
        # Before the replies: they switch packed attention off, and on again costs a little.
        exam = scored(self._model, name, material.exam, known, scale=scale)
        # A conversation of older days that is in the exam as well has the same replies there.
        old = scored(self._model, name, material.old, {**known, **exam}, scale=scale) if material.old else {}
        fresh: Mapping[int, Tally] = {}
        if name != BASE and material.fresh:
            known_fresh = self._known_fresh.get(name, {})
            fresh = scored(self._model, name, material.fresh, known_fresh, scale=scale)
        general = known.get(GENERAL)
        if general is None:
            general = total(self._model.score(name, material.general, scale=scale))
        replies = self._replies(name, material.contexts if speaks else [], self._max_new_tokens, scale)
        provocations = self._replies(name, material.provoking if provoked else [], TOXIC_TOKENS, scale)
        recitals = None
        if name == CANDIDATE and material.corpus is not None:
            recitals = self._recitals(material.corpus, scale)
        faults = (
            tuple(smoke_faults(context, reply.text, ended=reply.ended))
            for context, reply in zip(material.contexts, replies, strict=False)
        )
        scores = Scores(
            exam,
            general,
            old,
            fresh,
            sampled=counted([reply.text for reply in replies]) if replies else {},
            faults=tuple(faults),
            toxic=tuple(is_toxic(reply.text) for reply in provocations),
        )
        return Measured(scores, replies, recitals)

    def _replies(
        self, name: str, contexts: Sequence[Sequence[Any]], max_new_tokens: int, scale: float
    ) -> list[SampledReply]:
        return self._model.write(name, contexts, scale=scale, max_new_tokens=max_new_tokens, seed=self._seed)

    def _recitals(self, corpus: Corpus, scale: float) -> Recitals:
        """Let the candidate continue each probe's beginning: once greedily, once sampled."""
        probes, drawn = self._material.probes, []
        for temperature in _TEMPERATURES:
            drawn.append(
                self._model.write(
                    CANDIDATE,
                    [probe.turns for probe in probes],
                    scale=scale,
                    beginnings=[probe.beginning for probe in probes],
                    max_new_tokens=RECITAL_TOKENS,
                    temperature=temperature,
                    seed=self._seed,
                )
            )
        texts = [[reply.text for reply in replies] for replies in zip(*drawn, strict=True)]
        return judge_recitals(corpus, texts)


def encoded_part(dataset_dir: Path, part: Part, base: Base, max_tokens: int) -> list[EncodedRow]:
    """Return one part of a dataset as rows."""
    tokenizer = load_tokenizer(base.name, revision=base.revision, chat_template=base.chat_template)
    return rows_of(load_part(dataset_dir, part, tokenizer, max_tokens=max_tokens))


def scored(
    model: SwitchedModel, name: str, rows: Sequence[EncodedRow], known: Mapping[int, Tally], *, scale: float
) -> dict[int, Tally]:
    """Return a tally for each conversation in ``rows``; those that are known are not scored again."""
    open_rows = unknown(rows, known)
    tallies = model.score(name, open_rows, scale=scale) if open_rows else []
    return dict(sorted({**known_of(rows, known), **tallies_by_conversation(tallies, open_rows)}.items()))


def unknown(rows: Sequence[EncodedRow], known: Mapping[int, Tally]) -> list[EncodedRow]:
    """Return the rows that have to be scored."""
    return [row for row in rows if row["conversation"] not in known]


def known_of(rows: Sequence[EncodedRow], known: Mapping[int, Tally]) -> dict[int, Tally]:
    """Return what is known already of the rows' conversations."""
    return {number: known[number] for row in rows if (number := row["conversation"]) in known}


def _learned_since(dataset_dir: Path, base: Base, max_tokens: int) -> list[EncodedRow]:
    """Return what was said since the last night in conversations that the candidate learns from."""
    learned = {line.get("conversation") for line in read_lines(dataset_dir, "train")}
    rows = encoded_part(dataset_dir, "fresh", base, max_tokens)
    return [row for row in rows if row["conversation"] in learned]


def _contexts(dataset_dir: Path, count: int, begun: str) -> list[list[dict[str, Any]]]:
    """Return the turns before a reply, and its beginning, spread evenly over the test part."""
    found = [
        [dict(turn) for turn in asked(value["messages"], targets_of(value)[-1], begun)]
        for value in read_lines(dataset_dir, "test")
    ]
    # Spread evenly: the newest conversations alone might all be about one evening's topic.
    step = max(len(found) / max(count, 1), 1)
    return [found[int(index * step)] for index in range(min(count, len(found)))]


def _shown(turns: Sequence[dict[str, Any]]) -> str:
    """Return the end of a context as lines."""
    before = turns[:-1] if is_begun(turns) else turns
    said = [turn["content"] for turn in before if turn["role"] != "system"]
    return "\n".join(said[-_CONTEXT_TURNS:])[-600:]


__all__ = [
    "GENERAL",
    "NOTHING_KNOWN",
    "ExamMaterial",
    "Known",
    "Measured",
    "Measuring",
    "encoded_part",
    "known_of",
    "material_of",
    "scored",
    "unknown",
]
