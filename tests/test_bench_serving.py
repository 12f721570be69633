"""The benchmark of serving asks one contestant at a time, names who is missing, and keeps its turns."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import bench_serving
from bench_serving import (
    REPEATS,
    WARM_UP,
    Process,
    kept,
    lacking,
    measure_all,
    measures_of,
    order,
    question,
    take,
)
from serving_page import COLUMNS, TITLES
from steps import Steps

OPTIONS = argparse.Namespace(prompt_tokens=5, tokens=2)
ECHO = """
import json, sys
print(json.dumps({"format": "float32"}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    firsts = [0.1] * len(asked["prompts"])
    print(json.dumps({"seconds": 0.2, "firsts": firsts, "memory_mb": 9}), flush=True)
"""


class Pretended:
    """Notes who was asked, in order."""

    def __init__(self, name: str, asked: list[tuple[str, int]]) -> None:
        self.name, self._asked, self.format = name, asked, "float32"

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self._asked.append((self.name, len(question["prompts"])))
        return {"seconds": 1.0, "firsts": [0.1], "memory_mb": 1}

    def computed(self) -> float:
        return 0.0


def test_contestants_take_a_measure_one_after_the_other() -> None:
    asked: list[tuple[str, int]] = []
    processes: Any = {name: Pretended(name, asked) for name in ("engine", "generate", "llama-q8")}
    found = take(0, "1", processes, OPTIONS, 100)["found"]
    assert asked == [("engine", 1)] * 3 + [("generate", 1)] * 3 + [("llama-q8", 1)] * 3
    assert found["engine"] == {"seconds": 3.0, "firsts": [0.1] * 3, "memory_mb": 1}
    asked.clear()
    assert list(take(0, "16", processes, OPTIONS, 100)["found"]) == ["engine", "llama-q8"]
    assert asked == [("engine", 16), ("llama-q8", 16)]


def test_the_longest_measure_comes_after_all_turns_of_the_others() -> None:
    assert [measure for _, measure in order(2)] == [*(key for key in COLUMNS if key != "64")] * 2 + ["64"] * 2
    assert len(set(order(2))) == 2 * len(COLUMNS)


def test_adapters_are_asked_of_those_that_can_have_them() -> None:
    mixed = {name for name in TITLES if "16, four" in measures_of(name)}
    assert mixed == {"engine", "llama-bf16", "llama-q8", "openvino-adapters"}
    assert measures_of("openvino-adapters") == ["16, one", "16, four"]
    assert question(0, "16, four", OPTIONS, 100)["adapters"][:5] == [0, 1, 2, 3, 0]
    assert set(question(0, "16, one", OPTIONS, 100)["adapters"]) == {0}


def test_no_prompt_is_asked_twice() -> None:
    prompts = [
        tuple(prompt)
        for turn in (0, 1, 2, 3, 4, WARM_UP)
        for measure in COLUMNS
        for repeat in range(REPEATS.get(measure, 1))
        for prompt in question(turn, measure, OPTIONS, 49152, repeat)["prompts"]
    ]
    assert len(set(prompts)) == len(prompts)


def test_a_contestant_that_is_not_installed_is_named_with_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(name: str) -> Any:
        return None if name.startswith(("xllama", "openvino")) else find_spec(name)

    monkeypatch.setattr(bench_serving, "find_spec", found)
    assert lacking("engine") == ""
    assert lacking("llama-q8") == "xllamacpp is not installed"
    assert lacking("openvino").endswith("openvino_genai and openvino_tokenizers are not installed")


def test_a_process_answers_until_it_is_left_and_a_broken_one_ends_the_run(tmp_path: Path) -> None:
    with Process("engine", [sys.executable, "-c", ECHO], tmp_path / "log") as process:
        assert process.ask({"prompts": [[1], [2]]})["firsts"] == [0.1, 0.1]
        assert process.computed() > 0
    with pytest.raises(SystemExit, match=r"generate ended: .*log says why"):
        Process("generate", [sys.executable, "-c", "raise ValueError('no weights')"], tmp_path / "log")
    assert "no weights" in (tmp_path / "log").read_text()


@pytest.fixture
def echoes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """Let all contestants be processes that answer at once."""

    def started(name: str, command: list[str], log: Path) -> Process:
        return Process(name, [sys.executable, "-c", ECHO], log)

    monkeypatch.setattr(bench_serving, "Process", started)
    (tmp_path / "config.json").write_text('{"vocab_size": 100}')
    return argparse.Namespace(
        base=tmp_path, work=tmp_path, threads=1, turns=1, minutes=5.0, quiet=99.0, prompt_tokens=5, tokens=2
    )


async def test_what_is_measured_is_not_measured_again(
    echoes: argparse.Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Steps(tmp_path / "turns.json", [])
    await measure_all(["engine"], steps, echoes)
    first = await kept(steps, 1)
    assert {measure: len(turns) for measure, turns in first.items()} == dict.fromkeys(COLUMNS, 1)
    echoes.turns = 2
    await measure_all(["engine"], steps, echoes)
    both = await kept(steps, 2)
    assert {measure: turns[0] for measure, turns in both.items()} == {
        measure: turns[0] for measure, turns in first.items()
    }
    assert {len(turns) for turns in both.values()} == {2}
    # All is there, so nobody has to be started.
    monkeypatch.setattr(bench_serving, "Process", None)
    await measure_all(["engine"], steps, echoes)


async def test_a_measure_beside_other_programs_is_taken_again(
    echoes: argparse.Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = iter([0.5, 0.26, 0.25, *[0.0] * len(COLUMNS)])

    def taken(*_: object) -> dict[str, Any]:
        return {"foreign_cores": {"engine": next(busy), "generate": 0.0}}

    monkeypatch.setattr(bench_serving, "take", taken)
    echoes.quiet = 0.25
    steps = Steps(tmp_path / "turns.json", [])
    await measure_all(["engine"], steps, echoes)
    found = await kept(steps, 1)
    assert [found["1"][0]["foreign_cores"]["engine"], found["4"][0]["foreign_cores"]["engine"]] == [0.25, 0.0]


async def test_a_run_whose_minutes_are_over_begins_nothing_new(
    echoes: argparse.Namespace, tmp_path: Path
) -> None:
    steps = Steps(tmp_path / "turns.json", [])
    echoes.minutes = 0.0
    await measure_all(["engine"], steps, echoes)
    assert not any((await kept(steps, 1)).values())
