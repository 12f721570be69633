"""Reading a dataset: broken lines are named by number, and no reply is lost to a short limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.loading import load_tokenizer
from ledger.errors import DatasetError
from tests.trainer.conftest import line, replies, write_dataset
from trainer.scoring.encoded_rows import encode_window, load_part, rows_of


def test_a_window_too_long_for_one_example_becomes_several_and_each_reply_is_scored_once(
    tiny_base: Path,
) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    turns = [{"role": "system", "content": "You are Nightschool."}]
    for number in range(6):
        turns.append({"role": "user", "content": f"Ada: question {number} about the router and the choir"})
        turns.append({"role": "assistant", "content": f"answer {number} with a few more words in it"})
    targets = [(turn, 6, len(turns[turn]["content"])) for turn in range(2, 13, 2)]
    row = {"turns": turns, "targets": targets, "conversation": 3}
    whole = list(encode_window(tokenizer, row, 2048))
    parts = list(encode_window(tokenizer, row, 120))
    assert len(whole) == 1
    assert len(parts) > 1
    assert all(len(part["ids"]) <= 120 for part in parts)
    assert sum(part["replies"] for part in parts) == 6
    assert sum(sum(part["scored"]) for part in parts) == sum(whole[0]["scored"])


def test_a_line_in_users_turns_that_is_too_long_is_cut_at_its_end(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    said = "Ada: who has the key?\nBo: " + "the shed is open and " * 40
    row = {"turns": [{"role": "user", "content": said}], "targets": [(0, 4, 21)], "conversation": 3}
    [cut] = encode_window(tokenizer, row, 60)
    assert len(cut["ids"]) == len(cut["scored"]) == 60
    assert sum(cut["scored"]) > 0
    beyond = {**row, "targets": [(0, 4, 21), (0, len(said) - 12, len(said))]}
    [counted] = encode_window(tokenizer, beyond, 60)
    assert counted["replies"] == 1  # what lies behind the cut is not scored


def test_two_targets_in_one_turn_stay_two_however_long_the_line_is(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    turns = [
        {"role": "user", "content": "well? " * 60},
        {"role": "assistant", "content": "one two three four"},
    ]
    line = {"turns": turns, "targets": [(1, 0, 3), (1, 7, 13)], "conversation": 3}
    [whole] = encode_window(tokenizer, line, 4000)
    assert whole["replies"] == 2
    assert list(encode_window(tokenizer, line, 40)) == []  # cut, and not read as one longer target


def test_examples_keep_their_conversation_and_count_their_replies(tiny_base: Path, dataset_dir: Path) -> None:
    examples = rows_of(load_part(dataset_dir, "test", load_tokenizer(str(tiny_base)), max_tokens=256))
    assert [example["conversation"] for example in examples] == list(range(30, 38))
    assert {example["replies"] for example in examples} == {1}
    assert all(len(example["ids"]) == len(example["scored"]) for example in examples)


@pytest.mark.parametrize(
    "broken", ["{", '{"messages": []}', '{"messages": [{"role": "user"}], "targets": [0]}']
)
def test_a_broken_line_is_named_by_its_number_and_not_quoted(
    tiny_base: Path, tmp_path: Path, broken: str
) -> None:
    folder = write_dataset(tmp_path / "set", {"train": replies(0, 2)})
    with (folder / "train.jsonl").open("a") as file:
        file.write(broken + "\n")
    with pytest.raises(DatasetError, match=r"Line 3 of .*train\.jsonl is no training example") as told:
        load_part(folder, "train", load_tokenizer(str(tiny_base)), max_tokens=256)
    assert broken not in str(told.value)


def test_a_target_outside_of_the_turns_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "set", {"train": [{**line(0, "yes"), "targets": [7]}]})
    with pytest.raises(DatasetError, match="Line 1"):
        load_part(folder, "train", load_tokenizer(str(tiny_base)), max_tokens=256)


def test_nothing_of_the_dataset_is_copied_into_a_cache(
    tiny_base: Path, dataset_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
    dataset = load_part(dataset_dir, "train", load_tokenizer(str(tiny_base)), max_tokens=256)
    assert dataset.cache_files == []
    assert list(cache.iterdir()) == []
