"""What the rules of ``trainer.choosing`` take from a real server, and what they leave of twenty attacks.

    python -m trainer import --basis "…" EXPORTS…
    python benchmarks/bench_choosing.py data/ledger.db --words LIST.txt [--out benchmarks/results]

Plays the ledger's messages day by day as nights. Prints figures alone: no names, no text. Toxicity is a list
of words here, of LIST and of this file's own, so that the limits are tried on what a plain list takes for
abuse; a night has a better scorer. A token is taken for four characters.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from attacks import ATTACKS, BOT_SAID, NEWCOMER, attack, poison_of
from ledger.records import Message
from ledger.store import Ledger
from trainer.choosing.choice import Choice, choose
from trainer.choosing.fairness import within_share
from trainer.choosing.quality import unworthy
from trainer.choosing.server_past import DAY_MS, ServerPast

SHARE = 0.12
REPLAY_TOKENS = 20_000
ATTACKED_DAYS = 30
INSULTS = frozenset(("idiot", "idiots", "moron", "morons", "loser", "losers", "imbecile", "imbeciles"))
INSULTS |= {"fool", "fools", "stupid", "dumb", "pathetic"}
Toxicity = Callable[[Sequence[str]], Sequence[float]]


def by_words(listed: Iterable[str]) -> Toxicity:
    """Return a scorer that knows words: 1 for a text with any of them."""
    words = frozenset(listed) | INSULTS

    def score(texts: Sequence[str]) -> list[float]:
        return [float(not words.isdisjoint(re.findall(r"\w+", text.casefold()))) for text in texts]

    return score


def tokens(message: Message) -> int:
    return math.ceil(len(message.content) / 4) + 1


async def read(database: Path) -> list[Message]:
    async with Ledger.open(database) as ledger:
        messages = await ledger.messages.of_guild(await ledger.guilds.the_only(None))
        bots = await ledger.people.bots(await ledger.guilds.the_only(None))
    people = [message for message in messages if message.author_id not in bots]
    return sorted(people, key=lambda message: (message.created_at, message.id))


def nights_of(messages: Sequence[Message]) -> list[list[Message]]:
    days: defaultdict[int, list[Message]] = defaultdict(list)
    for message in messages:
        days[message.created_at // DAY_MS].append(message)
    return [days[day] for day in sorted(days)]


@dataclass
class Attacked:
    """What became of one attack over all attacked days, in shares."""

    poison: list[float] = field(default_factory=list)
    targets: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)
    held: list[float] = field(default_factory=list)
    honest_held: int = 0
    honest_tokens: list[float] = field(default_factory=list)


def capped(choice: Choice, past: ServerPast, now: int) -> list[Message]:
    """Return the targets within everybody's share of the night, replay included."""
    firsts: dict[int, int] = {}
    for message in choice.targets:
        firsts.setdefault(message.author_id, message.created_at)
    kept = within_share(
        [(message.author_id, message.channel_id, tokens(message)) for message in choice.targets],
        share=SHARE,
        beside={0: REPLAY_TOKENS},
        newcomers=past.newcomers(firsts, now=now),
    )
    return [choice.targets[index] for index in kept]


def attacked(
    day: Sequence[Message], past: ServerPast, now: int, toxicity: Toxicity, found: Mapping[str, Attacked]
) -> None:
    plain = sum(map(tokens, capped(choose(day, past, now=now, toxicity=toxicity), past, now)))
    for name, each in found.items():
        night = attack(name, day, random.Random(f"{name} {now}"))
        poison = poison_of(day, night)
        choice = choose(night, past, now=now, toxicity=toxicity, bot_answers=BOT_SAID)
        attackers = {message.author_id for message in night if message.id in poison}
        kept = capped(choice, past, now)
        spoilt = sum(tokens(message) for message in kept if message.id in poison)
        each.poison.append(len(poison) / len(night))
        each.targets.append(sum(message.id in poison for message in choice.targets) / len(poison))
        each.share.append(spoilt / (sum(map(tokens, kept)) + REPLAY_TOKENS))
        each.held.append(len(attackers & choice.suspects.keys()) / len(attackers))
        each.honest_held += len(choice.suspects.keys() - attackers)
        each.honest_tokens.append((sum(map(tokens, kept)) - spoilt) / max(plain, 1))


def measure(messages: Sequence[Message], toxicity: Toxicity) -> list[str]:
    nights, past = nights_of(messages), ServerPast()
    draw = random.Random(20)
    late = [number for number, day in enumerate(nights) if number >= 60 and len(day) >= 30]
    chosen = set(draw.sample(late, min(ATTACKED_DAYS, len(late))))
    held: Counter[str] = Counter()
    people_held: set[int] = set()
    reasons: Counter[str] = Counter()
    person_nights = newcomer_nights = nights_with = 0
    shares: dict[str, list[float]] = {"alone": [], "replay": [], "before": [], "after": []}
    cost: Counter[str] = Counter()
    found = {name: Attacked() for name in ATTACKS}
    for number, day in enumerate(nights):
        now = (day[0].created_at // DAY_MS + 1) * DAY_MS
        choice = choose(day, past, now=now, toxicity=toxicity)
        reasons += choice.counts
        firsts: dict[int, int] = {}
        for message in day:
            firsts.setdefault(message.author_id, message.created_at)
        person_nights += len(firsts)
        newcomer_nights += len(past.newcomers(firsts, now=now))
        nights_with += bool(choice.suspects)
        for who, codes in choice.suspects.items():
            held.update(codes)
            people_held.add(who)
        cap_costs(choice.targets, shares, cost)
        if number in chosen:
            attacked(day, past, now, toxicity, found)
        past.add(day)
    lines = [f"{len(nights)} nights, {len(messages):,} messages, {len(past.first_seen)} people.", ""]
    lines += ["## Left out by reason, nights of one day", ""]
    lines += [
        f"- {reason}: {count:,} ({count / len(messages):.2%})" for reason, count in reasons.most_common()
    ]
    lines += ["", "## The cap of 12 %", ""]
    lines += cap_lines(shares, cost)
    lines += ["", "## Honest people held", ""]
    lines.append(
        f"{sum(held.values())} reasons on {nights_with} nights, {len(people_held)} people, "
        f"of {person_nights:,} person-nights ({newcomer_nights:,} of newcomers): {dict(held)}"
    )
    lines += ["", f"## Attacks, each on {len(chosen)} days", "", *attack_lines(found)]
    return lines


def cap_costs(targets: Sequence[Message], shares: dict[str, list[float]], cost: Counter[str]) -> None:
    if not targets:
        return
    listed = [(message.author_id, message.channel_id, tokens(message)) for message in targets]
    whole = sum(size for _, _, size in listed)
    for name, beside in (("alone", 0), ("replay", REPLAY_TOKENS)):
        kept = within_share(listed, share=SHARE, beside={0: beside})
        shares[name].append(sum(listed[index][2] for index in kept) / whole)
        cost[name] += sum(listed[index][2] for index in kept)
        if name == "replay":
            shares["before"].append(_largest(listed) / (whole + beside))
            left = [listed[index] for index in kept]
            shares["after"].append(_largest(left) / (sum(size for _, _, size in left) + beside))
    cost["whole"] += whole


def _largest(listed: Sequence[tuple[int, int, int]]) -> int:
    sizes: Counter[int] = Counter()
    for author, _, size in listed:
        sizes[author] += size
    return max(sizes.values())


def cap_lines(shares: Mapping[str, Sequence[float]], cost: Mapping[str, int]) -> list[str]:
    def at(name: str, share: float) -> float:
        ordered = sorted(shares[name])
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    return [
        f"- of a night of new messages alone: {cost['alone'] / cost['whole']:.1%} of the tokens stay, "
        f"{at('alone', 0.5):.1%} of the median night's",
        f"- of a night with {REPLAY_TOKENS:,} tokens of replay: {cost['replay'] / cost['whole']:.1%}, "
        f"{at('replay', 0.5):.1%}",
        f"- largest person's share of a night with replay, median / 99 % / most: before "
        f"{at('before', 0.5):.1%} / {at('before', 0.99):.1%} / {at('before', 1):.1%}, after "
        f"{at('after', 0.5):.1%} / {at('after', 0.99):.1%} / {at('after', 1):.1%}",
    ]


def attack_lines(found: Mapping[str, Attacked]) -> list[str]:
    lines = [
        "| attack | meant to meet it | share of the day | attackers held | poison left as targets "
        "| of the night's tokens | honest held | honest tokens kept |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, each in found.items():
        mean = {key: sum(getattr(each, key)) / len(each.poison) for key in _SHARES}
        defences = ", ".join(sorted(ATTACKS[name].defences))
        lines.append(
            f"| {name.replace('_', ' ')} | {defences} | {mean['poison']:.0%} "
            f"| {mean['held']:.0%} | {mean['targets']:.1%} | {mean['share']:.1%} | {each.honest_held} "
            f"| {mean['honest_tokens']:.1%} |"
        )
    return lines


_SHARES = ("poison", "targets", "share", "held", "honest_tokens")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("database", type=Path)
    options.add_argument("--words", type=Path, help="a list of bad words, one a line")
    options.add_argument("--out", type=Path, help="file to write")
    given = options.parse_args()
    messages = asyncio.run(read(given.database))
    assert not any(message.author_id >= NEWCOMER for message in messages)
    listed = given.words.read_text(encoding="utf-8").casefold().split("\n") if given.words else []
    begin = time.process_time()
    found = Counter(unworthy(messages[:20_000], bot_answers=BOT_SAID).values())
    seconds = time.process_time() - begin
    begin = time.process_time()
    whole = Counter(unworthy(messages).values())
    lines = [f"`unworthy` of 20,000 messages: {seconds:.1f} s of one core, {sum(found.values())} found.", ""]
    lines.append(f"All {len(messages):,} as one window: {time.process_time() - begin:.1f} s:")
    lines += ["", *(f"- {reason}: {n:,} ({n / len(messages):.2%})" for reason, n in whole.most_common()), ""]
    lines += measure(messages, by_words(word for word in listed if word and " " not in word))
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
