from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.errors import DatasetError
from trainer.export import as_alpaca, export_dataset

TURNS = [
    {"role": "system", "content": "You are Owl."},
    {"role": "user", "content": "Ada: is the pond full?"},
    {"role": "assistant", "content": "nearly", "name": "Bo"},
    {"role": "user", "content": "Ada: how nearly?"},
    {"role": "assistant", "content": "two buckets", "name": "Bo"},
]


def line(turns: list[dict[str, str]], targets: list[int]) -> str:
    return json.dumps({"messages": turns, "targets": targets, "message_ids": [1], "channel": "pond"}) + "\n"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    for part in ("train", "val", "test"):
        (folder / f"{part}.jsonl").write_text(line(TURNS, [2, 4]) if part == "train" else "")
    return folder


def exported(dataset: Path, form: Any) -> list[Any]:
    counts = export_dataset(dataset, dataset.parent / "out", form=form)
    assert counts == {"train": 2, "val": 0, "test": 0}
    return [json.loads(text) for text in (dataset.parent / "out" / "train.jsonl").read_text().splitlines()]


def test_alpaca_has_one_example_for_each_target(dataset: Path) -> None:
    assert exported(dataset, "alpaca") == [
        {"instruction": "You are Owl.", "input": "Ada: is the pond full?", "output": "nearly"},
        {
            "instruction": "You are Owl.",
            "input": "Ada: is the pond full?\nBo: nearly\nAda: how nearly?",
            "output": "two buckets",
        },
    ]


def test_sharegpt_ends_in_the_target(dataset: Path) -> None:
    first, second = exported(dataset, "sharegpt")
    assert first["conversations"] == [
        {"from": "system", "value": "You are Owl."},
        {"from": "human", "value": "Ada: is the pond full?"},
        {"from": "gpt", "value": "nearly"},
    ]
    assert second["conversations"][-1] == {"from": "gpt", "value": "two buckets"}


def test_a_message_in_a_users_turn_is_exported_as_an_answer_without_its_name(dataset: Path) -> None:
    turns = [
        {"role": "user", "content": "Ann: tea?\nBea: yes"},
        {"role": "assistant", "content": "Cleo: no"},
        {"role": "user", "content": "Ann: why?"},
    ]
    value = {"messages": turns, "targets": [[0, 14, 18], [1, 5, 8], [2, 4, 9]]}
    (dataset / "train.jsonl").write_text(json.dumps(value) + "\n")
    out = dataset.parent / "out"
    export_dataset(dataset, out, form="chatml", parts=["train"])
    lines = (out / "train.jsonl").read_text(encoding="utf-8").splitlines()
    first, second, third = (
        [(turn["role"], turn["content"]) for turn in json.loads(text)["messages"]] for text in lines
    )
    assert first == [("user", "Ann: tea?"), ("assistant", "yes")]
    assert second == [("user", "Ann: tea?\nBea: yes"), ("assistant", "no")]
    assert third == [
        ("user", "Ann: tea?"),
        ("assistant", "Bea: yes"),
        ("user", "Cleo: no"),
        ("assistant", "why?"),
    ]


def test_alpacas_lines_have_one_name_each() -> None:
    turns = [
        {"role": "user", "content": "Ann: tea?"},
        {"role": "assistant", "content": "Bea: yes"},
        {"role": "user", "content": "Ann: milk?"},
        {"role": "assistant", "content": "no"},
    ]
    assert as_alpaca(turns)["input"] == "Ann: tea?\nBea: yes\nAnn: milk?"


def test_chatml_keeps_roles_and_contents(dataset: Path) -> None:
    _, second = exported(dataset, "chatml")
    assert second["messages"] == [{"role": turn["role"], "content": turn["content"]} for turn in TURNS]


def test_a_broken_line_leaves_the_former_export_as_it_was(dataset: Path) -> None:
    before = exported(dataset, "chatml")
    (dataset / "train.jsonl").write_text(line(TURNS, [2]) + '{"messages": "secret words"}\n')
    with pytest.raises(DatasetError, match="Line 2") as refused:
        export_dataset(dataset, dataset.parent / "out", form="chatml")
    assert "secret" not in str(refused.value)
    out = dataset.parent / "out"
    assert [json.loads(text) for text in (out / "train.jsonl").read_text().splitlines()] == before
    assert sorted(file.name for file in out.iterdir()) == ["test.jsonl", "train.jsonl", "val.jsonl"]


def test_what_cannot_be_exported_is_refused_with_the_fix(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="choose alpaca"):
        export_dataset(dataset, tmp_path / "out", form="csv")  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=r"manifest\.json"):
        export_dataset(tmp_path, tmp_path / "out", form="chatml")
    with pytest.raises(DatasetError, match="dataset itself"):
        export_dataset(dataset, dataset, form="chatml")
    with pytest.raises(DatasetError, match=r"no valid\.jsonl"):
        export_dataset(dataset, tmp_path / "out", form="chatml", parts=["valid"])
    (dataset / "train.jsonl").write_text(line(TURNS, [-1]))
    with pytest.raises(DatasetError, match="no turn of it"):
        export_dataset(dataset, tmp_path / "out", form="chatml")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=5))
def test_every_text_survives_each_form(dataset: Path, texts: list[str]) -> None:
    turns = [{"role": "system", "content": "s"}, *({"role": "user", "content": text} for text in texts)]
    turns.append({"role": "assistant", "content": texts[-1]})
    (dataset / "train.jsonl").write_text(line(turns, [len(turns) - 1]))
    out = dataset.parent / "round"
    export_dataset(dataset, out, form="sharegpt", parts=["train"])
    (found,) = (
        json.loads(text) for text in (out / "train.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    )
    assert [turn["value"] for turn in found["conversations"]] == [turn["content"] for turn in turns]
