"""NLL against a hand calculation, and the same number packed or padded, alone or in company."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.model.loading import load_tokenizer
from trainer.scoring.batches import EncodedRow
from trainer.scoring.packed_attention import use_packed_attention
from trainer.scoring.perplexity import general_rows, score_rows, tallies_by_conversation
from trainer.scoring.tally import Tally, total


def test_the_nll_of_a_reply_is_what_a_hand_calculation_gives(model: Any, rows: list[EncodedRow]) -> None:
    example = rows[0]
    logits = model(input_ids=torch.tensor([example["ids"]])).logits[0].tolist()
    expected, correct = 0.0, 0
    for position, scored in enumerate(example["scored"]):
        if scored:
            row = logits[position - 1]
            peak = max(row)
            partition = peak + math.log(sum(math.exp(value - peak) for value in row))
            expected += partition - row[example["ids"][position]]
            correct += row[example["ids"][position]] == peak
    [tally] = score_rows(model, [example], packed=False)
    assert tally.nll == pytest.approx(expected, rel=1e-5)
    assert tally.tokens == sum(example["scored"])
    assert tally.correct == correct
    assert tally.replies == 1


def test_company_in_the_batch_does_not_change_a_conversations_score(
    model: Any, rows: list[EncodedRow]
) -> None:
    use_packed_attention(model)
    together = score_rows(model, rows, packed=True, batch_tokens=100_000)
    alone = score_rows(model, rows, packed=True, batch_tokens=1)
    assert [tally.tokens for tally in together] == [tally.tokens for tally in alone]
    assert [tally.nll for tally in together] == pytest.approx([tally.nll for tally in alone], rel=1e-5)


def test_conversations_are_added_up_over_their_examples() -> None:
    parts = [EncodedRow(ids=[1, 2], scored=[False, True], conversation=n, replies=1) for n in (5, 3, 5)]
    added = tallies_by_conversation([Tally(1.0, 2, 0, 1), Tally(9.0, 4, 1, 1), Tally(3.0, 6, 2, 1)], parts)
    assert added == {3: Tally(9.0, 4, 1, 1), 5: Tally(4.0, 8, 2, 2)}
    assert list(added) == [3, 5]


def test_the_first_token_of_an_example_is_never_scored(model: Any) -> None:
    [tally] = score_rows(
        model, [EncodedRow(ids=[3, 4, 5], scored=[True] * 3, conversation=0, replies=1)], packed=False
    )
    assert tally.tokens == 2


def test_the_shipped_general_text_is_long_enough_to_measure_forgetting(tiny_base: Path) -> None:
    rows = general_rows(load_tokenizer(str(tiny_base)), max_tokens=512)
    assert len(rows) >= 50
    assert all(all(example["scored"]) for example in rows)
    assert sum(len(example["ids"]) for example in rows) > 3000


def test_a_stop_between_batches_is_obeyed(model: Any, rows: list[EncodedRow]) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, of: int) -> None:
        raise Stop

    model.train()
    with pytest.raises(Stop):
        score_rows(model, rows, packed=False, on_batch=stop)
    assert model.training
    assert total([]).tokens == 0
