"""What is measured on a version beside its night: the quiz, general text, and how days stay known.

Each loads the base once and switches versions; the scores are those of the product's own functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.model.encoding import encode_example
from engine.model.loading import load_tokenizer
from ledger.records import Message
from ledger.talk.prompts import Turn, to_prompt
from replayed_chat import Fact, ReplayedChat
from trainer.evaluating.measuring import encoded_part
from trainer.evaluating.switched_model import BASE, SwitchedModel
from trainer.fitting.recipe import Base
from trainer.preparing.dataset_files import has_part
from trainer.progress import silent
from trainer.scoring.batches import EncodedRow
from trainer.scoring.divergence import generic_prompts, kl_to_base
from trainer.scoring.perplexity import tallies_by_conversation
from trainer.scoring.tally import total

ASKER = "someone"
"""Who asks in the quiz, as in taught pairs."""
MAX_TOKENS = 512
WIKI_TOKENS = 12_000
"""Tokens of general English that forgetting is measured on."""


def read_day(folder: Path, base: Base, max_tokens: int) -> list[EncodedRow]:
    """Return the replies of a day that a night kept, none where it kept nothing."""
    return encoded_part(folder, "fresh", base, max_tokens) if has_part(folder, "fresh") else []


class Measures:
    """Measures on one base model."""

    def __init__(self, base: Base, chat: ReplayedChat, *, bot_name: str, general: Path | None) -> None:
        self._base, self._general = base, general
        self._bot_name, self._guild_name = bot_name, chat.guild_name
        self._tokenizer = load_tokenizer(base.name, revision=base.revision, chat_template=base.chat_template)

    def quiz(self, versions: Mapping[str, Path], facts: Sequence[Fact]) -> dict[str, list[dict[str, Any]]]:
        """Ask every version each fact: is the right answer the likeliest of ten, and is it what is said?"""
        if not facts:
            return {}
        rows = [self._answered(fact, answer) for fact in facts for answer in (fact.answer, *fact.wrong)]
        model = self._model(versions, rows)
        found: dict[str, list[dict[str, Any]]] = {}
        for name in (BASE, *versions):
            means = [tally.mean for tally in model.score(name, rows, scale=1.0)]
            said = model.write(
                name,
                [self._asked(fact) for fact in facts],
                scale=1.0,
                max_new_tokens=24,
                temperature=0.0,
                seed=0,
            )
            found[name] = [
                {
                    "fact": fact.number,
                    "rank": 1 + sum(other < means[10 * at] for other in means[10 * at + 1 : 10 * at + 10]),
                    "said": fact.answer.casefold() in reply.text.casefold(),
                }
                for at, (fact, reply) in enumerate(zip(facts, said, strict=True))
            ]
        return found

    def forgetting(self, versions: Mapping[str, Path]) -> dict[str, dict[str, float]]:
        """Return NLL on general English and KL to the base on generic prompts, by version."""
        rows = self._general_rows()
        model = self._model(versions, rows)
        base = total(model.score(BASE, rows, scale=1.0)).mean if rows else math.nan
        found: dict[str, dict[str, float]] = {}
        for name in versions:
            nll = total(model.score(name, rows, scale=1.0)).mean if rows else math.nan
            model.attend_plainly()
            with model.speaking_as(name) as speaker:
                kl = kl_to_base(speaker, self._tokenizer, generic_prompts())
            found[name] = {"general_rise": round(nll - base, 5), "kl": round(kl, 5)}
        return found

    def days(
        self, versions: Mapping[str, Path], days: Mapping[int, Sequence[EncodedRow]]
    ) -> dict[str, dict[int, float]]:
        """Return the NLL of each version, and of the base, on each day's replies."""
        rows = [row for day in days.values() for row in day]
        model = self._model(versions, rows)
        return {
            name: {
                night: round(total(model.score(name, list(day), scale=1.0)).mean, 5)
                for night, day in days.items()
            }
            for name in (BASE, *versions)
        }

    def conversations(self, version: Path, rows: Sequence[EncodedRow]) -> list[list[float]]:
        """Return [base nats, the version's nats, tokens] of each conversation, in the order of their ids."""
        model = self._model({"version": version}, rows)
        base, mine = (
            tallies_by_conversation(model.score(name, rows, scale=1.0), rows) for name in (BASE, "version")
        )
        return [
            [round(base[number].nll, 4), round(mine[number].nll, 4), mine[number].tokens]
            for number in sorted(mine)
        ]

    def _model(self, versions: Mapping[str, Path], rows: Sequence[EncodedRow]) -> SwitchedModel:
        return SwitchedModel(
            self._base,
            dict(versions),
            max_tokens=MAX_TOKENS,
            rows=rows,
            packing=True,
            reporter=silent,
            cancelled=lambda: False,
        )

    def _asked(self, fact: Fact) -> list[Turn]:
        """Return the prompt in which somebody asks the bot."""
        question = Message(0, 0, 0, 0, ASKER, fact.question, 0)
        return to_prompt([question], bot_name=self._bot_name, guild_name=self._guild_name)

    def _answered(self, fact: Fact, answer: str) -> EncodedRow:
        *before, begun = self._asked(fact)
        front = begun["content"]
        said: Turn = {"role": "assistant", "content": f"{front} {answer[0].upper()}{answer[1:]}."}
        encoded = encode_example(
            self._tokenizer, [*before, said], [len(before)], MAX_TOKENS, fronts={len(before): len(front)}
        )
        return EncodedRow(ids=encoded.ids, scored=encoded.scored, conversation=fact.number, replies=1)

    def _general_rows(self) -> list[EncodedRow]:
        if self._general is None:
            return []
        text = self._general.read_text(encoding="utf-8")[: WIKI_TOKENS * 5]
        ids = list(self._tokenizer(text, add_special_tokens=False)["input_ids"])[:WIKI_TOKENS]
        return [
            EncodedRow(ids=part, scored=[True] * len(part), conversation=start, replies=0)
            for start in range(0, len(ids), MAX_TOKENS)
            if len(part := ids[start : start + MAX_TOKENS]) > 1
        ]
