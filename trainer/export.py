"""A dataset directory in the forms that other trainers read: Alpaca, ShareGPT, ChatML messages.

``python -m trainer export DATASET --form sharegpt --out FOLDER``. One example a target: a window
with three replies to learn becomes three examples, each ending in its reply. Reads a dataset
directory and nothing else; no ledger, no model.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from ledger.errors import DatasetError
from ledger.talk.prompts import Turn, asked
from trainer.preparing.dataset_files import PARTS, targets_of
from trainer.preparing.windows import Target

Form = Literal["alpaca", "sharegpt", "chatml"]

_NAMED = re.compile(r"[^:\n]{1,40}: ")
_SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt"}


def export_dataset(
    dataset: Path, destination: Path, *, form: Form, parts: Sequence[str] = PARTS
) -> dict[str, int]:
    """Write ``<part>.jsonl`` for each part into ``destination``; return the examples in each.

    Each file appears whole or not at all, and replaces one of its name.

    Raises:
        DatasetError: ``dataset`` is not a dataset directory, a line in it is broken, the form is
            unknown, or ``destination`` is the dataset itself or cannot be written.
    """
    if form not in FORMS:
        raise DatasetError(f"{form!r} is no form to export to; choose {', '.join(FORMS)}.")
    if not (dataset / "manifest.json").is_file():
        raise DatasetError(f"{dataset} is no dataset: it has no manifest.json; make one with `prepare`.")
    if destination.resolve() == dataset.resolve():
        raise DatasetError(f"{destination} is the dataset itself; give another folder to export into.")
    try:
        destination.mkdir(parents=True, exist_ok=True)
        return {part: _write(dataset / f"{part}.jsonl", destination, FORMS[form]) for part in parts}
    except OSError as error:
        raise DatasetError(f"{destination} cannot be written: {error.strerror or error}.") from error


def examples(file: Path) -> Iterator[list[dict[str, Any]]]:
    """Yield, for each target of each line, the turns up to and including it.

    Raises:
        DatasetError: the file is missing, or a line does not have a dataset's form; no text is quoted.
    """
    if not file.is_file():
        raise DatasetError(f"The dataset has no {file.name} ({file}); make it anew with `prepare`.")
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                value = json.loads(line)
                turns = [_turn(turn) for turn in value["messages"]]
                targets = targets_of(value)
                found = [_answered(turns, target) for target in targets]
            except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
                raise DatasetError(
                    f"Line {number} of {file} is no training conversation; run `prepare` again."
                ) from error
            if any(not 0 <= turn < len(turns) for turn, _, _ in targets):
                raise DatasetError(f"Line {number} of {file} has a target that is no turn of it.")
            yield from found


def _answered(turns: list[dict[str, Any]], target: Target) -> list[dict[str, Any]]:
    """Return the turns up to a target, with roles such that the last is the assistant's: no name in it."""
    turn, start, end = target
    answer = turns[turn]["content"][start:end]
    if start:  # the space behind the name
        answer = answer.strip()
    before = asked(cast("list[Turn]", turns), target, "?")[:-1]  # without the beginning
    return [*cast("list[dict[str, Any]]", before), {**turns[turn], "role": "assistant", "content": answer}]


def _turn(raw: dict[str, Any]) -> dict[str, Any]:
    turn = {"role": raw["role"], "content": raw["content"]}
    if turn["role"] not in _SHAREGPT_ROLES or not isinstance(turn["content"], str):
        raise ValueError("no turn")
    f"{turn['content']}{raw.get('name')}".encode()  # raises for half a surrogate pair, which no file can hold
    return turn | ({"name": raw["name"]} if raw.get("name") else {})


def _write(file: Path, destination: Path, form: Callable[[list[dict[str, Any]]], dict[str, Any]]) -> int:
    """Write one part beside its final name, then put it in place; return its number of examples."""
    unfinished = destination / f".{file.name}.unfinished"
    count = 0
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as out:
            for turns in examples(file):
                out.write(json.dumps(form(turns), ensure_ascii=False) + "\n")
                count += 1
            out.flush()
            os.fsync(out.fileno())  # before the rename: a power cut must not leave an empty file
        unfinished.replace(destination / file.name)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def as_alpaca(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return instruction (the system turn), input (everything said since, as lines) and output.

    Alpaca has no roles, so an earlier turn of the assistant without a name in front starts with its key
    ``name``, or with "You".
    """
    said = turns[:-1]
    system = [turn["content"] for turn in said if turn["role"] == "system"]
    lines = [
        f"{turn.get('name', 'You')}: {turn['content']}"
        if turn["role"] == "assistant" and not _NAMED.match(turn["content"])
        else turn["content"]
        for turn in said
        if turn["role"] != "system"
    ]
    return {
        "instruction": "\n".join(system),
        "input": "\n".join(lines),
        "output": turns[-1]["content"],
    }


def as_sharegpt(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return ShareGPT's ``conversations`` of ``from`` and ``value``."""
    return {
        "conversations": [{"from": _SHAREGPT_ROLES[turn["role"]], "value": turn["content"]} for turn in turns]
    }


def as_chatml(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return OpenAI's ``messages`` of ``role`` and ``content``, which chat templates take."""
    return {"messages": [{"role": turn["role"], "content": turn["content"]} for turn in turns]}


FORMS: dict[str, Callable[[list[dict[str, Any]]], dict[str, Any]]] = {
    "alpaca": as_alpaca,
    "sharegpt": as_sharegpt,
    "chatml": as_chatml,
}
