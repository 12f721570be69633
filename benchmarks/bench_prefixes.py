"""What share of prompts the engine has just read, in conversations made of the sample server's words.

    python -m benchmarks.bench_prefixes --base models/base/SmolLM2-135M-Instruct

Its border: it makes prompts as the bot does and compares their tokens; no model computes anything. Answers
are messages of the sample server, too. ``step`` is how many messages a long conversation loses at a time.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.demo.sample import load_exports
from bot.talking.context import HISTORY, prompt_turns
from engine.computing.prefix_store import SECONDS, shared
from engine.model.encoding import encode_prompt, is_begun
from engine.model.loading import load_tokenizer
from ledger.records import Message
from ledger.talk.conversations import around

BOT, ASKER, LIMIT, GAP_MS, CONTEXT = 7, 99, 16, 15 * 60_000, 2048 - 300
STEPS = (1, 2, 4, 8)


class Channel:
    """A channel whose questions are put to the bot, and the tokens that the engine still knows."""

    def __init__(self, tokenizer: Any, answer: Callable[[], str], step: int) -> None:
        self._tokenizer, self._answer, self._step = tokenizer, answer, step
        self.history: list[Message] = []
        self._known: list[tuple[list[int], int]] = []
        self.tokens = self.found = 0

    def ask(self, message: Message) -> None:
        """Put a message to the bot, count what is known of its prompt, and answer."""
        self.history.append(message)
        prompt = self._prompt(message)
        known = [ids for ids, at in self._known if message.created_at - at < SECONDS * 1000]
        self.found += max((min(shared(ids, prompt), len(prompt) - 1) for ids in known), default=0)
        self.tokens += len(prompt)
        text = self._answer()
        written = self._tokenizer(f" {text}", add_special_tokens=False)["input_ids"]
        self._known.append(([*prompt, *written], message.created_at))
        self.history.append(
            replace(
                message,
                id=message.id + 1,
                author_id=BOT,
                content=text,
                created_at=message.created_at + 5000,
                reply_to=message.id,
                mentions=(),
                is_bot=True,
            )
        )

    def _prompt(self, message: Message) -> list[int]:
        recent = self.history[-HISTORY - 1 :]
        whole = around(recent, message.id, gap_ms=GAP_MS, limit=HISTORY + 1)
        conversation = whole[-(-max(0, len(whole) - LIMIT) // self._step) * self._step :]
        turns = prompt_turns(
            conversation,
            bot_id=BOT,
            bot_name="Nightschool",
            guild_name="Lantern Yard",
            names={each.author_id: each.author_name for each in recent},
            context_tokens=CONTEXT,
        )
        return encode_prompt(self._tokenizer, turns, begun=is_begun(turns))


def main() -> None:
    """Simulate and print the shares."""
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--base", required=True, help="folder of the base model, for its tokenizer")
    tokenizer = load_tokenizer(known.parse_args().base)
    channels = [[_message(each) for each in export["messages"]] for export in load_exports()]
    found = {}
    for step in STEPS:
        found[f"step {step}"] = {
            "every 4th message asks": asked(tokenizer, channels, step, 0.25),
            "every 12th message asks": asked(tokenizer, channels, step, 1 / 12),
            "dialogue of 8 questions": dialogue(tokenizer, channels, step, 8),
            "dialogue of 30 questions": dialogue(tokenizer, channels, step, 30),
            "30 questions, others talk": dialogue(tokenizer, channels, step, 30, others=0.3),
        }
        for name, share in found[f"step {step}"].items():
            print(f"step {step}, {name}: {share:.1%}")
    print(json.dumps(found))


def asked(tokenizer: Any, channels: list[list[Message]], step: int, share: float) -> float:
    """Return what is known where so many of the sample server's own messages ask."""
    draw = random.Random(0)
    words = [message.content for messages in channels for message in messages]
    simulated = []
    for messages in channels:
        channel = Channel(tokenizer, lambda: draw.choice(words), step)
        for message in messages:
            if draw.random() < share:
                channel.ask(message)
            else:
                channel.history.append(message)
        simulated.append(channel)
    return _share(simulated)


def dialogue(
    tokenizer: Any, channels: list[list[Message]], step: int, questions: int, others: float = 0.0
) -> float:
    """Return what is known where one member asks every 40 s, and others say something in between."""
    draw = random.Random(0)
    pool = [message for messages in channels for message in messages]
    simulated = []
    for number in range(20):
        channel = Channel(tokenizer, lambda: draw.choice(pool).content, step)
        at, key = 10**12 + number * 10**9, number * 10**6
        for _ in range(questions):
            while draw.random() < others:
                at, key = at + 10_000, key + 10
                other = replace(draw.choice(pool), id=key, created_at=at, reply_to=None)
                channel.history.append(other)
            at, key = at + 40_000, key + 10
            question = replace(draw.choice(pool), id=key, created_at=at, reply_to=None)
            channel.ask(replace(question, author_id=ASKER, author_name="Tamsin"))
        simulated.append(channel)
    return _share(simulated)


def _share(channels: list[Channel]) -> float:
    found = sum(channel.found for channel in channels)
    return round(found / sum(channel.tokens for channel in channels), 3)


def _message(line: dict[str, Any]) -> Message:
    author, reference = line["author"], line.get("reference")
    return Message(
        id=int(line["id"]),
        guild_id=1,
        channel_id=1,
        author_id=int(author["id"]),
        author_name=author["nickname"] or author["name"],
        content=line["content"],
        created_at=int(datetime.fromisoformat(line["timestamp"]).timestamp() * 1000),
        reply_to=int(reference["messageId"]) if reference else None,
        mentions=(),
        is_bot=False,
    )


if __name__ == "__main__":
    main()
