"""Candidate, champion and bare base on the same held-out replies, with one base model in memory.

``python -m trainer evaluate`` and the night both run :func:`evaluate`; before a night trains anything, it
runs :func:`score_first` on what nobody has learned. Both need a dataset directory and adapter directories;
they know no ledger and decide nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from engine.model.adapter_files import verify
from engine.model.loading import base_fingerprint
from ledger.errors import AdapterError
from trainer.evaluating.measuring import (
    NOTHING_KNOWN,
    Known,
    Measuring,
    encoded_part,
    known_of,
    material_of,
    scored,
    unknown,
)
from trainer.evaluating.scaling import SCALES
from trainer.evaluating.switched_model import BASE, CANDIDATE, CHAMPION, SwitchedModel
from trainer.evaluating.taught_answers import known_pairs, taught_pairs
from trainer.fitting.recipe import Base
from trainer.judging.comparison import Evaluation
from trainer.judging.leakage import Corpus
from trainer.preparing.dataset_files import Part, has_part, read_manifest
from trainer.progress import Reporter, silent
from trainer.scoring.batches import EncodedRow
from trainer.scoring.tally import Tally

log = logging.getLogger("trainer")


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
    toxic_prompts: int = 0,
    known: Known = NOTHING_KNOWN,
    known_fresh: Known = NOTHING_KNOWN,
    weaken: Callable[[Evaluation], bool] = lambda found: False,
    seed: int = 20,
    reporter: Reporter = silent,
    cancelled: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Score all models on the dataset's test and old parts and on the general text, and sample replies.

    Versions are scored on its fresh part, too, which the candidate has learned from.

    With ``corpus``, what the candidate learned from, it is tested with up to ``probes`` beginnings of its
    training replies (:mod:`trainer.judging.leakage`). While ``weaken`` says so of what was found, the
    candidate is measured again at smaller scales (:data:`trainer.evaluating.scaling.SCALES`); what is
    returned is the first that needed no more, else the one at full strength.

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
    adapters, notes = {CANDIDATE: candidate}, []
    if champion is not None:
        try:
            verify(champion, base_fingerprint=fingerprint)
            adapters[CHAMPION] = champion
        except AdapterError as error:
            log.warning("the champion cannot be compared: %s", error)
            notes.append(f"The champion cannot serve any more, so the bare base is to be beaten: {error}")
    material = material_of(
        dataset_dir, base, max_tokens, sampled_replies, toxic_prompts, corpus, probes=probes, seed=seed
    )
    model = SwitchedModel(
        base,
        adapters,
        max_tokens=max_tokens,
        rows=material.exam,
        packing=packing,
        reporter=reporter,
        cancelled=cancelled,
    )
    session = Measuring(model, material, known, max_new_tokens, seed, known_fresh=known_fresh)
    before = CHAMPION if CHAMPION in adapters else BASE
    others = [name for name in (BASE, CHAMPION) if name == BASE or name in adapters]
    for name in (*others, CANDIDATE):
        session.expect(name, speaks=name in (before, CANDIDATE), provoked=name in (BASE, CANDIDATE))
    measured = {name: session.measure(name, speaks=name == before, provoked=name == BASE) for name in others}

    pairs = taught_pairs(dataset_dir)

    def at(scale: float) -> Evaluation:
        weaker = f"At full strength it failed a guard, so it was measured at {scale:.0%} of its strength."
        mine = session.measure(CANDIDATE, speaks=True, provoked=True, scale=scale)
        return Evaluation(
            {name: each.scores for name, each in {**measured, CANDIDATE: mine}.items()},
            material.samples(measured[before].replies, mine.replies),
            (*notes, weaker) if scale != 1.0 else tuple(notes),
            mine.recitals,
            scale,
            taught=len(pairs),
            taught_known=known_pairs(model, pairs, scale=scale, seed=seed),
        )

    found = full = at(1.0)
    for scale in SCALES:
        if not weaken(found):
            return found
        session.expect(CANDIDATE, speaks=True, provoked=True)
        found = at(scale)
    if not weaken(found):
        return found
    tried = " nor ".join(f"{scale:.0%}" for scale in SCALES)
    return replace(full, notes=(*full.notes, f"Neither {tried} of its strength passed the guards either."))


def score_first(
    dataset_dir: Path,
    *,
    base: Base,
    versions: Mapping[str, Path],
    part: Part = "fresh",
    max_tokens: int,
    packing: bool = True,
    known: Known = NOTHING_KNOWN,
    reporter: Reporter = silent,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, dict[int, Tally]]:
    """Score the bare base (as ``base``) and ``versions`` on a part that nobody has learned; by conversation.

    Done before anything is trained, this is the honest next-day figure (prequential evaluation, Dawid 1984:
    test, then train). A dataset without that part gives empty scores and loads no model. A version that
    cannot serve any more is left out.

    Raises:
        DatasetError: the dataset is broken.
        ModelError: the base model cannot be loaded.
        RunCancelled: ``cancelled`` asked for it.
    """
    fingerprint = base_fingerprint(base.name, base.revision)
    adapters = {}
    for name, path in versions.items():
        try:
            verify(path, base_fingerprint=fingerprint)
            adapters[name] = path
        except AdapterError as error:
            log.warning("%s is not scored: %s", name, error)
    names = [BASE, *adapters]
    rows: list[EncodedRow] = []
    if has_part(dataset_dir, part):
        read_manifest(dataset_dir)
        rows = encoded_part(dataset_dir, part, base, max_tokens)
    open_rows = {name: unknown(rows, known.get(name, {})) for name in names}
    if not any(open_rows.values()):
        return {name: known_of(rows, known.get(name, {})) for name in names}
    model = SwitchedModel(
        base,
        adapters,
        max_tokens=max_tokens,
        rows=rows,
        packing=packing,
        reporter=reporter,
        cancelled=cancelled,
    )
    model.expect(sum(map(len, open_rows.values())))
    return {name: scored(model, name, rows, known.get(name, {}), scale=1.0) for name in names}


__all__ = ["evaluate", "score_first"]
