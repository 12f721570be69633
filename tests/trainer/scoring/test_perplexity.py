"""NLL against a hand calculation, and the same number packed or padded, alone or in company."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.model.loading import choose_placement, load_base, load_tokenizer
from ledger.errors import ModelError
from trainer.fitting.lora_training import pack_if_possible
from trainer.scoring.batches import EncodedRow, by_length, pack, pad
from trainer.scoring.encoded_rows import load_part, rows_of
from trainer.scoring.packed_attention import use_packed_attention, use_plain_attention
from trainer.scoring.perplexity import by_conversation, general_rows, score_rows, token_losses
from trainer.scoring.tally import Tally, total


@pytest.fixture
def model(tiny_base: Path) -> Any:
    return load_base(str(tiny_base), placement=choose_placement("cpu", "none", "float32"))


@pytest.fixture
def examples(tiny_base: Path, dataset_dir: Path) -> list[EncodedRow]:
    return rows_of(load_part(dataset_dir, "test", load_tokenizer(str(tiny_base)), max_tokens=256))


def test_the_nll_of_a_reply_is_what_a_hand_calculation_gives(model: Any, examples: list[EncodedRow]) -> None:
    example = examples[0]
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


def test_packed_or_padded_the_loss_on_each_reply_is_the_same_number(
    model: Any, examples: list[EncodedRow]
) -> None:
    padded, _ = token_losses(model, pad(examples, pad_id=0))
    assert use_packed_attention(model)
    packed, _ = token_losses(model, pack(examples))
    assert len({len(example["ids"]) for example in examples}) > 1
    torch.testing.assert_close(packed, padded, atol=1e-5, rtol=0)


def test_the_gradients_are_the_same_packed_or_padded(model: Any, examples: list[EncodedRow]) -> None:
    gradients = []
    for batch, attention in (
        (pad(examples, pad_id=0), use_plain_attention),
        (pack(examples), use_packed_attention),
    ):
        attention(model)
        model.zero_grad()
        token_losses(model, batch)[0].sum().backward()
        gradients.append(model.model.layers[0].self_attn.q_proj.weight.grad.clone())
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-4, rtol=1e-4)


def test_company_in_the_batch_does_not_change_a_conversations_score(
    model: Any, examples: list[EncodedRow]
) -> None:
    use_packed_attention(model)
    together = score_rows(model, examples, packed=True, batch_tokens=100_000)
    alone = score_rows(model, examples, packed=True, batch_tokens=1)
    assert [tally.tokens for tally in together] == [tally.tokens for tally in alone]
    assert [tally.nll for tally in together] == pytest.approx([tally.nll for tally in alone], rel=1e-5)


def test_an_example_cannot_see_the_one_in_front_of_it(model: Any, examples: list[EncodedRow]) -> None:
    use_packed_attention(model)
    other = {**examples[1], "ids": [7] * len(examples[1]["ids"])}
    with_one = token_losses(model, pack([examples[1], examples[0]]))[0]
    with_other = token_losses(model, pack([other, examples[0]]))[0]
    count = sum(examples[0]["scored"])
    torch.testing.assert_close(with_one[-count:], with_other[-count:], atol=1e-5, rtol=0)


def test_packing_is_given_up_where_a_model_does_something_else_with_its_attention(
    model: Any, examples: list[EncodedRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pack_if_possible(model, examples, wanted=True)
    use_plain_attention(model)
    assert not pack_if_possible(model, examples, wanted=False)

    def refuse(chosen: Any) -> bool:
        raise ModelError("This base model's attention cannot be packed.")

    monkeypatch.setattr("trainer.fitting.lora_training.use_packed_attention", refuse)
    assert not pack_if_possible(model, examples, wanted=True)
    assert model.config._attn_implementation == "sdpa"


def test_conversations_are_added_up_over_their_examples() -> None:
    parts = [EncodedRow(ids=[1, 2], scored=[False, True], conversation=n, replies=1) for n in (5, 3, 5)]
    added = by_conversation([Tally(1.0, 2, 0, 1), Tally(9.0, 4, 1, 1), Tally(3.0, 6, 2, 1)], parts)
    assert added == [Tally(9.0, 4, 1, 1), Tally(4.0, 8, 2, 2)]


def test_the_first_token_of_an_example_is_never_scored(model: Any) -> None:
    [tally] = score_rows(
        model, [EncodedRow(ids=[3, 4, 5], scored=[True] * 3, conversation=0, replies=1)], packed=False
    )
    assert tally.tokens == 2


def test_batches_hold_each_example_once_and_no_more_padded_tokens_than_allowed() -> None:
    lengths = [3, 50, 7, 7, 20, 1, 49]
    examples = [
        EncodedRow(ids=[1] * length, scored=[True] * length, conversation=0, replies=1) for length in lengths
    ]
    batches = list(by_length(examples, max_tokens=60))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(
        len(batch) == 1 or max(lengths[index] for index in batch) * len(batch) <= 60 for batch in batches
    )
    assert batches[0] == [1]


def test_the_shipped_general_text_is_long_enough_to_measure_forgetting(tiny_base: Path) -> None:
    examples = general_rows(load_tokenizer(str(tiny_base)), max_tokens=512)
    assert len(examples) >= 50
    assert all(all(example["scored"]) for example in examples)
    assert sum(len(example["ids"]) for example in examples) > 3000


def test_a_stop_between_batches_is_obeyed(model: Any, examples: list[EncodedRow]) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, of: int) -> None:
        raise Stop

    model.train()
    with pytest.raises(Stop):
        score_rows(model, examples, packed=False, on_batch=stop)
    assert model.training
    assert total([]).tokens == 0
