"""A dataset directory: its parts, its manifest and their hashes, written and read.

Knows files and lines; no ledger, no tokenizer, no model. Reading checks every hash and every line,
because a dataset may come from another machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from ledger.errors import DatasetError
from trainer.preparing.dataset_split import Split, Talk
from trainer.preparing.windows import Target

Part = Literal["train", "val", "test", "old", "fresh"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
"""What every dataset has."""
MORE_PARTS: tuple[Part, ...] = ("old", "fresh")
"""What a night's has beside them, perhaps empty: older days, and what was said since the last night."""


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the dataset's manifest after checking each file's hash.

    Raises:
        DatasetError: the directory is not a dataset, or a file in it was altered.
    """
    path = directory / "manifest.json"
    try:
        manifest = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        files = {name: str(entry["sha256"]) for name, entry in manifest["files"].items()}
    except FileNotFoundError as error:
        raise DatasetError(
            f"{directory} is no dataset: it has no manifest.json; make one with `prepare`."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(f"{path} cannot be read; make the dataset anew with `prepare`.") from error
    for name, expected in files.items():
        if not (directory / name).is_file() or sha256(directory / name) != expected:
            raise DatasetError(
                f"{directory / name} is missing or not what its manifest says; make the dataset anew."
            )
    return manifest


def has_part(directory: Path, part: Part) -> bool:
    """Tell whether the dataset has this part, with at least one line."""
    path = directory / f"{part}.jsonl"
    return path.is_file() and path.stat().st_size > 0


def sha256(path: Path) -> str:
    """Return the file's SHA-256, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_lines(directory: Path, part: Part) -> Iterator[dict[str, Any]]:
    """Yield each line of one part of the dataset.

    Raises:
        DatasetError: the file is missing or a line is broken; its text is not quoted.
    """
    path = directory / f"{part}.jsonl"
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                yield _checked(line, path, number)
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read; make the dataset anew with `prepare`.") from error


def targets_of(line: Mapping[str, Any]) -> list[Target]:
    """Return the words of a line that are learned, or scored: turn, from where, to where.

    A target that is the mere number of a turn, as people write it by hand, is all of that turn.
    """
    turns = line["messages"]
    return [
        (target, 0, len(turns[target]["content"])) if isinstance(target, int) else _three(target)
        for target in line["targets"]
    ]


def _three(target: Sequence[int]) -> Target:
    turn, start, end = target
    return turn, start, end


def _checked(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        value = cast("dict[str, Any]", json.loads(line))
        turns, targets = value["messages"], targets_of(value)
        whole = all(isinstance(turn["role"], str) and isinstance(turn["content"], str) for turn in turns)
        numbers = [*value.get("message_ids", ()), *value.get("authors", ()), value.get("conversation", 0)]
        # isinstance would let True pass; SQLite's numbers have 63 bits and a sign.
        given = (*numbers, *(number for target in targets for number in target))
        if not all(type(number) is int and abs(number) < 2**63 for number in given):
            raise ValueError("no numbers")
        if not whole or not targets or not all(0 <= turn < len(turns) for turn, _, _ in targets):
            raise ValueError("no example")
        if not all(0 <= start < end <= len(turns[turn]["content"]) for turn, start, end in targets):
            raise ValueError("no words")
    # RecursionError: a line nested beyond all depth used to be a traceback in export and fit.
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"Line {number} of {path} is no training example; make the dataset anew with `prepare`."
        ) from error
    return value


def write_dataset(directory: Path, parts: Split, manifest: dict[str, Any]) -> None:
    """Write the parts and their manifest, replacing an older dataset.

    Written beside ``directory`` and renamed: a directory of that name is always whole.

    Raises:
        DatasetError: the directory cannot be written.
    """
    unfinished = directory.with_name(f"{directory.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True, mode=0o700)  # members' words: for this user alone
        files = {
            f"{name}.jsonl": _write_part(unfinished / f"{name}.jsonl", talks)
            for name, talks in (
                ("train", parts.train),
                ("val", parts.val),
                ("test", parts.test),
                ("old", parts.old),
                ("fresh", parts.fresh),
            )
        }
        text = json.dumps({**manifest, "files": files}, indent=2, ensure_ascii=False, default=str)
        (unfinished / "manifest.json").write_text(text + "\n", encoding="utf-8")
        shutil.rmtree(directory, ignore_errors=True)
        unfinished.rename(directory)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise DatasetError(
            f"The dataset {directory} cannot be written ({error.strerror or error}): make room, or point "
            "[paths] data elsewhere."
        ) from error


def _write_part(path: Path, talks: Sequence[Talk]) -> dict[str, Any]:
    lines = replies = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for talk in talks:
            for window in talk.windows:
                file.write(json.dumps(window.as_line(), ensure_ascii=False) + "\n")
                lines += 1
                replies += window.replies
        file.flush()
        # The rename below must not reach the disk before the lines do.
        os.fsync(file.fileno())
    return {"sha256": sha256(path), "lines": lines, "targets": replies}


__all__ = [
    "MORE_PARTS",
    "PARTS",
    "Part",
    "has_part",
    "read_lines",
    "read_manifest",
    "targets_of",
    "write_dataset",
]
