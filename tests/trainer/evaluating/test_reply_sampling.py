"""Sampled replies: what is counted in them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.model.encoding import stop_marks
from engine.model.loading import load_tokenizer
from trainer.evaluating.reply_sampling import counted, sample_replies, write_replies

CONTEXTS: list[list[dict[str, Any]]] = [[{"role": "user", "content": "Ada: who has the lamp?"}]] * 3


def test_repetition_and_distinct_n_are_what_a_hand_count_gives() -> None:
    found = counted(["a b c a b c", "d e"])
    assert found["replies"] == 2
    assert found["words"] == 4
    assert found["distinct_1"] == round(5 / 8, 4)
    assert found["distinct_2"] == round(4 / 6, 4)  # ab bc ca (ab bc) de
    assert found["repetition"] == round((1 / 4) / 2, 4)  # abc bca cab (abc), and none in the second
    assert counted([])["words"] == 0


class _Written:
    """A model that writes what it is told, for its texts and ends alone."""

    device = torch.device("cpu")

    def __init__(self, new: list[list[int]]) -> None:
        self.new = new

    def generate(self, *, input_ids: Any, **options: Any) -> Any:
        return torch.cat([input_ids, torch.tensor(self.new)], dim=1)


def test_a_reply_tells_whether_the_model_ended_it(tiny_base: Any) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    stops, _ = stop_marks(tokenizer)
    words = tokenizer("the lamp", add_special_tokens=False)["input_ids"][:2]
    stop, pad = min(stops), int(tokenizer.pad_token_id or 0)
    model: Any = _Written([[*words, stop, pad], [*words, *words], [stop, pad, pad, pad]])
    found = write_replies(model, tokenizer, CONTEXTS, max_new_tokens=4, max_prompt_tokens=64)
    assert [reply.ended for reply in found] == [True, False, True]
    assert found[0].text
    assert found[2].text == ""


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_the_same_seed_writes_the_same_replies(model: Any, tiny_base: Any, temperature: float) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    options: dict[str, Any] = {"max_new_tokens": 4, "max_prompt_tokens": 64, "temperature": temperature}
    once = sample_replies(model, tokenizer, CONTEXTS, seed=3, **options)
    assert once == sample_replies(model, tokenizer, CONTEXTS, seed=3, **options)
    assert len(once) == 3


def test_a_begun_reply_goes_on_behind_its_beginning(model: Any, tiny_base: Any) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    asked = [{"role": "user", "content": "Ada: which shed?"}]
    options: dict[str, Any] = {"max_new_tokens": 4, "max_prompt_tokens": 200, "temperature": 0.0}

    def written(turns: list[dict[str, str]], beginning: str) -> str:
        return sample_replies(model, tokenizer, [turns], beginnings=[beginning], **options)[0]

    named = [*asked, {"role": "assistant", "content": "Nightschool:"}]
    further = [*asked, {"role": "assistant", "content": "Nightschool: the old"}]
    assert written(named, "the old") == written(further, "")
    assert written(asked, "Nightschool: the old") == written(further, "")
