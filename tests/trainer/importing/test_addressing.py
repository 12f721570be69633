from __future__ import annotations

from dataclasses import replace

import pytest

from ledger.records import Message
from trainer.importing.addressing import ChannelVoices
from trainer.importing.message_drafts import ExportedChannel, MessageDraft

POND = ExportedChannel(1, "Moss Club", 2, "pond")
ADA, BO, LONG, BEEP = 11, 12, 13, 14


def said(author: int, name: str, content: str, *, is_bot: bool = False) -> MessageDraft:
    message = Message(1, 1, 2, author, name, content, 0, is_bot=is_bot)
    return MessageDraft(POND, message, (name,))


@pytest.fixture
def voices() -> ChannelVoices:
    known = ChannelVoices()
    for author, name in ((ADA, "Ada"), (BO, "bo_bo"), (LONG, "Bo the Builder")):
        known.hear(said(author, name, "hello"))
    known.hear(said(BEEP, "beep", "I am here", is_bot=True))
    return known


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("Ada: look", (ADA,)),
        ("ada, look", (ADA,)),
        ("ADA:look", (ADA,)),
        ("@ada: look", (ADA,)),
        ("@Ada look", (ADA,)),
        ("thanks @Ada!", (ADA,)),
        ("bo_bo, ada: both of you", (BO, ADA)),
        ("Bo the Builder: nice", (LONG,)),
        ("@Bo the Builder nice", (LONG,)),
        ("well, ada is right", ()),
        ("ada is right", ()),
        ("Adamant: no", ()),
        ("@Adamant", ()),
        ("mail me at x@ada", ()),
        ("look\nada: there", ()),
        ("1,ada", ()),
        ("", ()),
    ],
)
def test_who_is_addressed(voices: ChannelVoices, content: str, wanted: tuple[int, ...]) -> None:
    assert voices.addressed(content) == wanted


def test_a_line_to_a_bot_by_name_is_a_command_and_a_line_about_it_is_not(voices: ChannelVoices) -> None:
    assert voices.is_command("beep: roll")
    assert voices.is_command("@beep roll")
    assert voices.is_command(f"<@{BEEP}> roll")
    assert not voices.is_command("I like @beep")
    assert not voices.is_command("Ada: beep is broken")


def test_a_lead_in_that_a_bot_answers_at_once_is_a_command(voices: ChannelVoices) -> None:
    for _ in range(5):
        voices.hear(said(ADA, "Ada", "m: say 42"))
        voices.hear(said(BEEP, "beep", "42", is_bot=True))
        voices.hear(said(ADA, "Ada", "!roll"))
        voices.hear(said(BEEP, "beep", "6", is_bot=True))
        voices.hear(said(BO, "bo_bo", "well: hm"))
    assert voices.is_command("m: say 7")
    assert voices.is_command("!dance")
    assert not voices.is_command("well: hm")
    assert not voices.is_command("...")


def test_a_lead_in_used_seldom_is_no_command(voices: ChannelVoices) -> None:
    for _ in range(3):
        voices.hear(said(ADA, "Ada", "psst: hey"))
        voices.hear(said(BEEP, "beep", "hey", is_bot=True))
    assert not voices.is_command("psst: hey")


def test_a_persons_name_is_no_command_though_a_bot_answers_for_them(voices: ChannelVoices) -> None:
    for _ in range(5):
        voices.hear(said(BO, "bo_bo", "ada: are you there"))
        voices.hear(said(BEEP, "beep", "she is away", is_bot=True))
    assert not voices.is_command("ada: are you there")


def test_names_known_from_elsewhere_do_not_replace_those_heard(voices: ChannelVoices) -> None:
    voices.know({99: "Ada", 98: "Cy"}, {97: "boop"})
    assert voices.addressed("ada: hi") == (ADA,)
    assert voices.addressed("cy: hi") == (98,)
    voices.know({97: "boop"}, {97: "boop"})
    assert voices.is_command("boop: hi")


def test_hearing_keeps_no_text(voices: ChannelVoices) -> None:
    secret = said(ADA, "Ada", "nobody: may know this")
    voices.hear(replace(secret))
    assert "may know" not in repr(voices)
