"""A dataset directory as encoded examples: what ``fit`` and ``evaluate`` read, and nothing else.

The lines are read here and handed to ``datasets`` in memory: its own readers leave copies of members'
words in a cache outside of the data folder, where no deletion would find them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from engine.model.encoding import encode_example
from ledger.errors import DatasetError
from trainer.scoring.batches import Example

if TYPE_CHECKING:
    from datasets.arrow_dataset import Dataset
    from transformers import PreTrainedTokenizerBase

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the dataset's manifest after checking each file's hash.

    Raises:
        DatasetError: the directory is no dataset, or a file in it was altered.
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


def sha256(path: Path) -> str:
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


def _checked(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        value = cast("dict[str, Any]", json.loads(line))
        turns, targets = value["messages"], value["targets"]
        whole = all(isinstance(turn["role"], str) and isinstance(turn["content"], str) for turn in turns)
        numbers = [*value.get("message_ids", ()), value.get("conversation", 0)]
        if not whole or not targets or not all(0 <= target < len(turns) for target in targets):
            raise ValueError("no example")
        if not all(type(number) is int and abs(number) < 2**63 for number in (*targets, *numbers)):
            raise ValueError("no numbers")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"Line {number} of {path} is no training example; make the dataset anew with `prepare`."
        ) from error
    return value


def load_part(directory: Path, part: Part, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int) -> Dataset:
    """Return one part of the dataset as encoded examples (:class:`trainer.scoring.batches.Example`).

    Raises:
        DatasetError: a line is broken, or no reply is left in this part.
        ModelError: the chat template cannot be trained with.
    """
    from datasets.arrow_dataset import Dataset
    from datasets.features import Features, Sequence, Value
    from datasets.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    rows = [
        {
            "turns": value["messages"],
            "targets": value["targets"],
            "conversation": value.get("conversation", at),
        }
        for at, value in enumerate(read_lines(directory, part))
    ]
    features = Features(
        ids=Sequence(Value("int32")),
        scored=Sequence(Value("bool")),
        conversation=Value("int64"),
        replies=Value("int64"),
    )
    if not rows:
        raise _nothing(directory, part)
    # Each row travels as one text: turns have optional keys, which columns would fill with nulls.
    encoded = Dataset.from_list([{"row": json.dumps(row)} for row in rows]).map(
        lambda batch: _encode_rows(tokenizer, batch["row"], max_tokens),
        batched=True,
        batch_size=64,
        remove_columns=["row"],
        features=features,
        load_from_cache_file=False,
        keep_in_memory=True,
    )
    if not len(encoded):
        raise _nothing(directory, part)
    return cast("Dataset", encoded)


def _encode_rows(
    tokenizer: PreTrainedTokenizerBase, rows: list[str], max_tokens: int
) -> dict[str, list[Any]]:
    found = [example for row in rows for example in encode_window(tokenizer, json.loads(row), max_tokens)]
    return {name: [dict(example)[name] for example in found] for name in Example.__annotations__}


def encode_window(
    tokenizer: PreTrainedTokenizerBase, row: dict[str, Any], max_tokens: int
) -> Iterator[Example]:
    """Yield the examples of one line, several where it is too long for one.

    An example that is too long loses its oldest turns; replies to learn among those get an example of
    their own, so that each is scored exactly once.
    """
    turns, targets = row["turns"], list(row["targets"])
    while targets:
        encoded = encode_example(tokenizer, turns, targets, max_tokens)
        if any(encoded.scored[1:]):
            yield Example(
                ids=encoded.ids,
                scored=encoded.scored,
                conversation=row["conversation"],
                replies=len(encoded.targets),
            )
        # The newest reply is always in, so that each round leaves fewer.
        targets = [target for target in targets if target not in encoded.targets and target != max(targets)]


def _nothing(directory: Path, part: Part) -> DatasetError:
    purpose = "learn from" if part == "train" else "score"
    return DatasetError(
        f"{directory / part}.jsonl has no usable reply to {purpose}; let "
        "more members opt in, or wait for more conversations."
    )


def examples_of(dataset: Dataset) -> list[Example]:
    """Return the dataset's rows as a list, for scoring."""
    return [cast("Example", row) for row in dataset]


__all__ = ["PARTS", "Part", "examples_of", "load_part", "read_lines", "read_manifest", "sha256"]
