"""A dataset directory as encoded rows: what ``fit`` and ``evaluate`` train on and score.

The lines are read here and passed to ``datasets`` in memory: its own readers leave copies of members'
words in a cache outside the data folder, where no deletion would find them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from datasets.arrow_dataset import Dataset
from datasets.features import Features, Value
from datasets.features import Sequence as SequenceOf
from datasets.utils.tqdm import disable_progress_bars
from transformers import PreTrainedTokenizerBase

from engine.model.encoding import encode_example
from engine.model.loading import load_tokenizer
from engine.model.span_encoding import TurnSpan, encode_spans
from ledger.errors import DatasetError
from trainer.fitting.recipe import Base
from trainer.preparing.dataset_files import Part, read_lines, targets_of
from trainer.scoring.batches import EncodedRow


def load_part(directory: Path, part: Part, tokenizer: PreTrainedTokenizerBase, *, max_tokens: int) -> Dataset:
    """Return one part of the dataset as encoded rows (:class:`trainer.scoring.batches.EncodedRow`).

    Raises:
        DatasetError: a line is broken, or no reply is left in this part.
        ModelError: the chat template cannot be trained with.
    """
    disable_progress_bars()
    lines = [
        {
            "turns": value["messages"],
            "targets": targets_of(value),
            "conversation": value.get("conversation", at),
        }
        for at, value in enumerate(read_lines(directory, part))
    ]
    features = Features(
        ids=SequenceOf(Value("int32")),
        scored=SequenceOf(Value("bool")),
        conversation=Value("int64"),
        replies=Value("int64"),
    )
    if not lines:
        raise _nothing(directory, part)
    # Each line travels as one text: turns have optional keys, which columns would fill with nulls.
    encoded = Dataset.from_list([{"line": json.dumps(line)} for line in lines]).map(
        lambda batch: _encode_lines(tokenizer, batch["line"], max_tokens),
        batched=True,
        batch_size=64,
        remove_columns=["line"],
        features=features,
        load_from_cache_file=False,
        keep_in_memory=True,  # no file of members' words outside the data folder
    )
    if not len(encoded):
        raise _nothing(directory, part)
    return cast("Dataset", encoded)


def _encode_lines(
    tokenizer: PreTrainedTokenizerBase, lines: list[str], max_tokens: int
) -> dict[str, list[Any]]:
    found = [row for line in lines for row in encode_window(tokenizer, json.loads(line), max_tokens)]
    return {name: [dict(row)[name] for row in found] for name in EncodedRow.__annotations__}


def encode_window(
    tokenizer: PreTrainedTokenizerBase, line: dict[str, Any], max_tokens: int
) -> Iterator[EncodedRow]:
    """Yield the rows of one line: one, in which messages of any turn are targets.

    A line that is too long, as people write it by hand, loses its oldest turns where each target is an
    assistant's turn to its end; those among them get a row of their own, so that each is scored exactly
    once. Else its end is cut.
    """
    turns, spans = line["turns"], [TurnSpan(*target) for target in line["targets"]]
    ids, scored, begins = encode_spans(tokenizer, turns, spans)
    if len(ids) <= max_tokens or not _whole_replies(turns, spans):
        ids, scored = ids[:max_tokens], scored[:max_tokens]
        replies = sum(begin < max_tokens for begin in begins)
        if any(scored[1:]):  # nothing predicts a first token
            yield EncodedRow(ids=ids, scored=scored, conversation=line["conversation"], replies=replies)
        return
    fronts = {span.turn: span.start for span in spans}
    targets = list(fronts)
    while targets:
        encoded = encode_example(tokenizer, turns, targets, max_tokens, fronts=fronts)
        if any(encoded.scored[1:]):
            yield EncodedRow(
                ids=encoded.ids,
                scored=encoded.scored,
                conversation=line["conversation"],
                replies=len(encoded.targets),
            )
        # The newest reply always fits, so that each round leaves fewer.
        targets = [target for target in targets if target not in encoded.targets and target != max(targets)]


def _whole_replies(turns: Sequence[Mapping[str, Any]], spans: Sequence[TurnSpan]) -> bool:
    """Tell whether every span is one assistant's turn to its end."""
    return len({span.turn for span in spans}) == len(spans) and all(
        turns[span.turn]["role"] == "assistant" and span.end == len(turns[span.turn]["content"])
        for span in spans
    )


def token_lengths(base: Base, texts: Sequence[str]) -> list[int]:
    """Return how many tokens of ``base`` each text has, without a template around it.

    Raises:
        ModelError: there is no such base model.
    """
    tokenizer = load_tokenizer(base.name, revision=base.revision, chat_template=base.chat_template)
    found: list[int] = []
    for start in range(0, len(texts), 1000):
        found += map(len, tokenizer(list(texts[start : start + 1000]), add_special_tokens=False)["input_ids"])
    return found


def _nothing(directory: Path, part: Part) -> DatasetError:
    purpose = "learn from" if part == "train" else "score"
    return DatasetError(
        f"{directory / part}.jsonl has no usable reply to {purpose}; let "
        "more members opt in, or wait for more conversations."
    )


def rows_of(dataset: Dataset) -> list[EncodedRow]:
    """Return an encoded part as a list, for scoring."""
    return [cast("EncodedRow", row) for row in dataset]


__all__ = ["encode_window", "load_part", "rows_of", "token_lengths"]
