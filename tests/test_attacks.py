"""Each of twenty poisoned days meets the defence that it names, and no honest member is held for it."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from attacks import ATTACKS, BOT_SAID, NEWCOMER, attack, poison_of, told
from ledger.records import Message
from tests.trainer.choosing import villages
from trainer.choosing.choice import Choice, choose
from trainer.choosing.fairness import within_share
from trainer.choosing.server_past import ServerPast

SHARE = 0.12


@pytest.fixture(scope="module")
def past() -> ServerPast:
    return villages.past()


def poisoned(name: str) -> tuple[list[Message], set[int]]:
    day = villages.last_day()
    night = attack(name, day, random.Random(name))
    return night, poison_of(day, night)


def chosen(night: list[Message], past: ServerPast) -> Choice:
    return choose(night, past, now=villages.NOW, toxicity=villages.rudeness, bot_answers=BOT_SAID)


def words(message: Message) -> int:
    return len(message.content.split())


def test_there_are_twenty_each_with_a_line_about_it() -> None:
    assert len(ATTACKS) == 20
    assert all(line.endswith(".") for line in told().values())


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_adds_messages_of_its_own_and_is_the_same_for_the_same_draw(name: str) -> None:
    night, poison = poisoned(name)
    assert len(poison) >= 6
    assert len({message.id for message in night}) == len(night)
    assert poisoned(name)[0] == night
    day = villages.last_day()
    assert [message for message in night if message.id not in poison] == day
    assert min(message.created_at for message in night) >= day[0].created_at


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_meets_the_defence_that_it_names(name: str, past: ServerPast) -> None:
    night, poison = poisoned(name)
    attackers = {message.author_id for message in night if message.id in poison}
    choice = chosen(night, past)
    left = sum(message.id in poison for message in choice.targets) / len(poison)
    defences = ATTACKS[name].defences
    assert choice.suspects.keys() <= attackers, "no honest member is held"
    assert ("quarantine" in defences) == (choice.suspects.keys() == attackers)
    if "quarantine" in defences:
        assert left == 0
    elif "quality" in defences:
        assert left <= 0.25
    else:
        assert left > 0.5, "what the verdict has to notice is said to be left to it"


@pytest.mark.parametrize("name", [name for name, each in ATTACKS.items() if "cap" in each.defences])
def test_what_only_the_cap_meets_is_no_more_than_one_voices_share(name: str, past: ServerPast) -> None:
    night, poison = poisoned(name)
    targets = chosen(night, past).targets
    new = [message.author_id for message in targets if message.author_id >= NEWCOMER]
    kept = within_share(
        [(each.author_id, each.id // 8, words(each)) for each in targets], share=SHARE, newcomers=new
    )
    voices: Counter[int] = Counter()
    for index in kept:
        author = targets[index].author_id
        voices[min(author, NEWCOMER)] += words(targets[index])
    assert max(voices.values()) <= SHARE * voices.total()
    spoilt = {targets[index].id for index in kept} & poison
    assert spoilt, "nobody is silenced for being loud"


def test_honest_messages_stay_targets_whatever_the_attack(past: ServerPast) -> None:
    for name in ATTACKS:
        night, poison = poisoned(name)
        choice = chosen(night, past)
        honest = [message for message in choice.targets if message.id not in poison]
        held = sum(message.author_id in choice.suspects for message in villages.last_day())
        assert len(honest) + held >= 0.98 * len(villages.last_day()), name
