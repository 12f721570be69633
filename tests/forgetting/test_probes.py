"""The leakage gate's probes on a real model: what it says counts, however it came to say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.model.loading import choose_placement, load_base, load_tokenizer
from ledger.shingles import words
from tests.trainer.conftest import base_at, recipe_with, replies, write_dataset
from trainer.evaluating.evaluation import evaluate
from trainer.evaluating.measuring import RECITAL_TOKENS
from trainer.evaluating.reply_sampling import sample_replies
from trainer.fitting.finetune import fit
from trainer.fitting.recipe import Base
from trainer.judging.leakage import Corpus, Recitals, probes_of
from trainer.preparing.dataset_files import read_lines

PROBES, SEED = 6, 20


@pytest.fixture
def base(tiny_base: Path) -> Base:
    return base_at(tiny_base)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    parts = {"train": replies(0, 8), "val": replies(8, 2), "test": replies(10, 2)}
    return write_dataset(tmp_path / "dataset", parts)


@pytest.fixture
def candidate(dataset: Path, tmp_path: Path, base: Base) -> Path:
    """A version that has learned a little, and babbles."""
    recipe = recipe_with(epochs=6, learning_rate=2e-2, lora_r=4, lora_alpha=8, batch_size=8, max_tokens=256)
    work, out = tmp_path / "work", tmp_path / "adapter"
    fit(dataset, out, base=base, recipe=recipe, work_dir=work, version="g7-v000001")
    return out


def said(candidate: Path | None, dataset: Path, base: Base, *, temperature: float) -> list[str]:
    """Return how the candidate, or the bare base, goes on from each probe; found without the gate."""
    from peft import PeftModel

    bare = load_base(base.name, placement=choose_placement("cpu", "none", "float32"))
    model: Any = PeftModel.from_pretrained(bare, str(candidate)) if candidate else bare
    probes = probes_of(read_lines(dataset, "train"), count=PROBES, seed=SEED)
    return sample_replies(
        model.eval(),
        load_tokenizer(base.name),
        [probe.turns for probe in probes],
        beginnings=[probe.beginning for probe in probes],
        max_new_tokens=RECITAL_TOKENS,
        max_prompt_tokens=256,
        temperature=temperature,
        seed=SEED,
    )


def recitals(candidate: Path, dataset: Path, base: Base, corpus: Corpus) -> Recitals:
    """Evaluate the candidate as a night does, and return what it recites."""
    found = evaluate(
        dataset,
        candidate,
        base=base,
        max_tokens=256,
        sampled_replies=1,
        max_new_tokens=1,
        corpus=corpus,
        probes=PROBES,
        seed=SEED,
    )
    assert found.recitals is not None
    return found.recitals


def test_greedy_and_sampled_recitals_count_alike_from_eight_words_and_up_to_two_people(
    candidate: Path, dataset: Path, base: Base
) -> None:
    greedy = said(candidate, dataset, base, temperature=0.0)
    sampled = said(candidate, dataset, base, temperature=0.7)
    bare = said(None, dataset, base, temperature=0.0)
    assert len({*greedy, *sampled, *bare}) == 3 * PROBES, "each of them is said in one way alone"
    begun = words(greedy[4])
    learned = [
        (1, greedy[2]),
        *((person, sampled[3]) for person in (1, 2)),
        *((person, sampled[5]) for person in (1, 2, 3)),  # nobody's
        (1, " ".join(["so", *begun[:7], "so"])),  # too short
    ]
    corpus = Corpus(learned, secrets=[greedy[0], sampled[1]])
    found = recitals(candidate, dataset, base, corpus)
    assert (found.probes, found.values, found.recited) == (PROBES, 2, 4)
    # With the eighth word it is a recital, and the only one.
    found = recitals(candidate, dataset, base, Corpus([(1, " ".join(["so", *begun[:8], "so"]))]))
    assert (found.probes, found.values, found.recited) == (PROBES, 0, 1)
