"""Who may be learned from tonight, and why the others may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.people.policy import declared
from ledger.records import Basis, ConsentEvent, Message, Source
from tests.trainer.conftest import CHANNEL, GUILD, START
from trainer.preparing import selection
from trainer.preparing.selection import LOCKED, NO_CONSENT, Rules, select

LOGS = declared("published logs")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("!roll 2d6", selection.COMMAND),
        ("/imagine a cat", selection.COMMAND),
        (".help", selection.COMMAND),
        ("m: say 42", selection.COMMAND),
        ("M, say 42", selection.COMMAND),
        ("<@99> what is the weather?", selection.COMMAND),
        ("   ", selection.EMPTY),
        ("... I see", ""),
        (":) fine", ""),
        ("-5 degrees", ""),
        ("mmm: tasty", ""),
        ("/ is a root folder", ""),
    ],
)
def test_commands_and_empty_lines_are_left_out(content: str, reason: str) -> None:
    rules = Rules(consent={}, bots={99: "m"})
    message = Message(1, GUILD, CHANNEL, 11, "Ada", content, START, source="import", basis=LOGS)
    assert rules.reason_against(message) == reason


def test_bots_and_ignored_channels_are_left_out() -> None:
    rules = Rules(consent={}, bots={99: "m"}, ignored_channels={CHANNEL + 1})
    message = Message(1, GUILD, CHANNEL, 11, "Ada", "hello there", START, source="import", basis=LOGS)
    kept, left_out = select(
        [
            message,
            replace(message, id=2, author_id=99),
            replace(message, id=3, is_bot=True),
            replace(message, id=4, channel_id=CHANNEL + 1),
        ],
        rules,
    )
    assert [kept_one.id for kept_one in kept] == [1]
    assert left_out == {selection.BOT: 2, selection.IGNORED: 1}


@pytest.mark.parametrize(
    ("source", "basis", "locked"),
    [
        ("discord", "", True),
        ("import", "opt-in", True),
        ("jsonl", "opt-in", True),
        ("import", "published logs", False),
        ("jsonl", "published logs", False),
        ("package", "data-package", False),
        ("example", "example by 11", False),
        ("local", "", False),
    ],
)
def test_the_lock_concerns_all_that_is_not_known_to_be_free_of_the_api(
    source: Source, basis: str, locked: bool
) -> None:
    yes = ConsentEvent(GUILD, 11, True, (), "1", 1)
    message = Message(1, GUILD, CHANNEL, 11, "", "how are you?", 1, source=source, basis=Basis(basis))
    assert (Rules({11: yes}, {}).reason_against(message) == LOCKED) == locked
    assert Rules({11: yes}, {}, discord_permission="a letter").reason_against(message) == ""


def test_a_yes_for_another_channel_alone_outweighs_a_declared_basis() -> None:
    elsewhere = ConsentEvent(GUILD, 11, True, (CHANNEL + 1,), "1", 1)
    message = Message(1, GUILD, CHANNEL, 11, "", "how are you?", 1, source="import", basis=LOGS)
    assert Rules({11: elsewhere}, {}).reason_against(message) == NO_CONSENT
