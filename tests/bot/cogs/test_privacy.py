"""A member's say: every command concerns the person who runs it, and nobody else sees the answer."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
from typing import Any

import discord
import pytest
import simcord

from bot.client import NightschoolBot
from bot.cogs import privacy
from bot.members.notice import WORDS
from ledger.clock import to_ms
from ledger.errors import LedgerError
from ledger.people.consent_history import WORDING_VERSION
from ledger.records import Message
from tests.bot.house import NOON, House, text_of

MARK = "zebrafish-marzipan"


async def opted_in(house: House, *people: simcord.MemberActor) -> None:
    for person in people:
        await person.slash(house.general, "privacy opt-in")


async def exported(house: House, who: simcord.MemberActor) -> dict[str, Any]:
    """Return what the file holds that the member is given."""
    result = await who.slash(house.general, "privacy export")
    assert result.ephemeral
    assert result.response is not None
    [file] = result.response.attachments
    return dict(json.loads(house.env.backend.cdn.get(file.url) or b""))


async def test_nobody_is_learned_from_before_they_say_yes(house: House) -> None:
    assert "never asked" in text_of(await house.ann.slash(house.general, "privacy status"))
    await opted_in(house, house.ann)
    assert "You said yes" in text_of(await house.ann.slash(house.general, "privacy status"))
    await house.ann.slash(house.general, "privacy opt-out")
    assert "You said no" in text_of(await house.ann.slash(house.general, "privacy status"))


async def test_opting_in_says_what_is_agreed_to(house: House) -> None:
    result = await house.ann.slash(house.general, "privacy opt-in")
    text = text_of(result)
    for word in (
        "keep what you write",
        "never direct messages",
        "imported",
        "opt-out",
        "export",
        "forget-me",
    ):
        assert word in text
    [event] = await house.services.ledger.consent.history(house.guild.id, house.ann.id)
    assert event.granted
    assert event.wording


async def test_opting_out_keeps_what_follows_from_being_kept(house: House) -> None:
    await opted_in(house, house.ann)
    await house.ann.send(house.general, "kept")
    await house.ann.slash(house.general, "privacy opt-out")
    await house.ann.send(house.general, MARK)
    assert not house.on_disk(MARK)


async def test_consent_in_one_server_is_none_in_another(house: House) -> None:
    other = house.env.create_guild("Second Home")
    lobby = other.create_text_channel("lobby")
    await opted_in(house, house.ann)
    twin = other.add_member(house.ann.user)
    await twin.send(lobby, MARK)
    assert not house.on_disk(MARK)
    assert "never asked" in text_of(await twin.slash(lobby, "privacy status"))


async def test_the_status_names_the_versions_that_learned_from_the_member(house: House) -> None:
    await opted_in(house, house.ann, house.ben)
    message = await house.ann.send(house.general, "I love soup")
    version = await house.candidate()
    [run] = await house.services.ledger.runs.of_guild(house.guild.id)
    await house.services.ledger.runs.learned_from(run.id, [(message.id, house.ann.id)])
    assert version in text_of(await house.ann.slash(house.general, "privacy status"))
    assert version not in text_of(await house.ben.slash(house.general, "privacy status"))


async def test_the_export_holds_everything_of_the_member_and_nothing_of_others(house: House) -> None:
    await opted_in(house, house.ann, house.ben)
    await house.ann.send(house.general, "mine")
    await house.ben.send(house.general, MARK)
    await house.env.advance_time(20 * 60)
    await house.ask(house.ann, "hello")
    await house.ann.react(house.last()[0], "👍")
    content = await exported(house, house.ann)
    assert [message["content"] for message in content["messages"]] == ["mine", "hello"]
    assert [reply["content"] for reply in content["replies_to_you"]] == ["Good evening."]
    assert [event["granted"] for event in content["consent"]] == [True]
    assert [reaction["emoji"] for reaction in content["reactions"]] == ["👍"]
    assert MARK not in json.dumps(content)


async def test_forget_me_erases_everything_from_the_disk_and_says_how_much(house: House) -> None:
    await opted_in(house, house.ann, house.ben)
    for number in range(3):
        await house.ann.send(house.general, f"{MARK} {number}")
    await house.ben.send(house.general, "I stay")
    await house.ask(house.ann, f"{MARK} again")
    await house.ann.react(house.last()[0], "👍")
    asked = await house.ann.slash(house.general, "privacy forget-me")
    assert asked.ephemeral
    assert house.on_disk(MARK)
    pressed = await house.ann.click(asked.response, label="Erase it all")
    assert "Erased: 4 messages, 1 answers to you and 1 reactions" in text_of(pressed)
    assert not house.on_disk(MARK)
    ledger = house.services.ledger
    assert [m.content for m in await ledger.messages.of_guild(house.guild.id)] == ["I stay"]
    assert await ledger.people.names(house.guild.id) == {house.ben.id: "ben"}
    await house.ann.send(house.general, MARK)
    assert not house.on_disk(MARK)


async def test_forget_me_asks_first_and_no_erases_nothing(house: House) -> None:
    await opted_in(house, house.ann)
    await house.ann.send(house.general, "mine")
    asked = await house.ann.slash(house.general, "privacy forget-me")
    pressed = await house.ann.click(asked.response, label="Keep it")
    assert "Nothing was erased" in text_of(pressed)
    assert await house.services.ledger.messages.count(house.guild.id) == 1


async def too_late(house: House, message: discord.Message | None) -> None:
    """Press where Discord has given up waiting for an answer."""
    house.env.inject_error("POST", "/interactions/*", status=404, code=10062, times=None)
    with contextlib.suppress(Exception):  # nobody was answered, which is the point
        await house.ann.click(message, label="Erase it all")
    house.env.backend.faults.clear()


async def owed(house: House) -> None:
    house.services.clock.advance(minutes=2)  # type: ignore[attr-defined]
    await house.bot.receipts.deliver_owed()


async def test_an_erasure_counts_though_its_acknowledgement_comes_too_late_and_the_receipt_follows(
    house: House,
) -> None:
    await opted_in(house, house.ann)
    await house.ann.send(house.general, MARK)
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await too_late(house, asked.response)
    assert not house.on_disk(MARK)
    for _ in range(3):
        await owed(house)
    [receipt] = house.said(house.ann.user.dm_channel)
    assert "Erased: 1 messages" in receipt
    assert "Lantern Yard" in receipt


async def test_a_receipt_is_owed_until_discord_takes_it(house: House) -> None:
    await opted_in(house, house.ann)
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await too_late(house, asked.response)
    house.env.inject_error("POST", "/users/@me/channels", status=503, times=1)
    await owed(house)
    assert await house.services.ledger.deletions.untold(since=0, until=2**62)
    await owed(house)
    assert len(house.said(house.ann.user.dm_channel)) == 1


async def test_a_receipt_is_sent_once_though_that_cannot_be_noted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opted_in(house, house.ann)
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await too_late(house, asked.response)
    deletions = house.services.ledger.deletions
    told = deletions.told

    async def full(deletion_id: int) -> None:
        raise LedgerError("The database could not be written.")

    monkeypatch.setattr(deletions, "told", full)
    for _ in range(3):
        with pytest.raises(LedgerError):
            await owed(house)
    monkeypatch.setattr(deletions, "told", told)
    await owed(house)
    assert len(house.said(house.ann.user.dm_channel)) == 1
    assert await deletions.untold(since=0, until=2**62) == []


async def test_who_was_told_at_once_is_not_told_again(house: House) -> None:
    await opted_in(house, house.ann)
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await house.ann.click(asked.response, label="Erase it all")
    await owed(house)
    assert await house.services.ledger.deletions.untold(since=0, until=2**62) == []


async def test_the_erase_button_works_after_a_restart_of_the_bot(house: House) -> None:
    await opted_in(house, house.ann)
    await house.ann.send(house.general, MARK)
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await house.env.restart_bot(NightschoolBot(house.services))
    pressed = await house.ann.click(asked.response, label="Erase it all")
    assert "Erased: 1 messages" in text_of(pressed)
    assert not house.on_disk(MARK)


async def test_an_opt_out_counts_though_its_acknowledgement_comes_too_late(house: House) -> None:
    await opted_in(house, house.ann)
    house.env.inject_error("POST", "/interactions/*", status=404, code=10062, times=None)
    with contextlib.suppress(Exception):
        await house.ann.slash(house.general, "privacy opt-out")
    house.env.backend.faults.clear()
    event = await house.services.ledger.consent.current(house.guild.id, house.ann.id)
    assert event is not None
    assert not event.granted


async def test_a_button_pressed_by_another_member_erases_nobody(house: House) -> None:
    await opted_in(house, house.ann, house.ben)
    await house.ann.send(house.general, "ann's")
    await house.ben.send(house.general, "ben's")
    asked = await house.ann.slash(house.general, "privacy forget-me")
    assert asked.response is not None
    # Discord shows ephemeral messages to nobody else; a forged press is sent past that.
    house.env.backend.get_message(house.general.id, asked.response.id).flags = 0
    await house.ben.click(asked.response, label="Erase it all")
    assert await house.services.ledger.messages.count(house.guild.id) == 2
    assert [e.granted for e in await house.services.ledger.consent.history(house.guild.id, house.ben.id)] == [
        True
    ]


async def test_every_answer_is_for_the_member_alone(house: House) -> None:
    for name in ("status", "opt-in", "opt-out", "forget-me", "export"):
        assert (await house.ann.slash(house.general, f"privacy {name}")).ephemeral, name


async def test_consent_can_be_given_for_one_channel_alone(house: House) -> None:
    kitchen = house.guild.create_text_channel("kitchen")
    await house.ann.slash(house.general, "privacy opt-in", channel=kitchen)
    await house.ann.send(kitchen, "soup")
    await house.ann.send(house.general, MARK)
    await house.ask(house.ann, f"what of {MARK}?")
    assert await house.services.ledger.messages.count(house.guild.id) == 1
    assert not house.on_disk(MARK)


async def test_the_receipt_tells_what_was_erased(house: House) -> None:
    await opted_in(house, house.ann)
    await house.ann.send(house.general, "mine")
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await house.ann.click(asked.response, label="Erase it all")
    assert "Erased: 1 messages" in text_of(await house.ann.slash(house.general, "privacy receipt"))
    assert (await exported(house, house.ann))["forgotten"][0]["counts"]["messages"] == 1


async def test_each_presses_the_notice_for_themselves_and_still_after_a_restart(house: House) -> None:
    await house.boss.slash(house.general, "consent notice")
    [notice] = [message for message in house.last() if message.components]
    pressed = await house.ann.click(notice, label="Yes, learn from me")
    assert pressed.ephemeral
    await house.env.restart_bot(NightschoolBot(house.services))
    pressed = await house.ben.click(notice, label="No")
    assert pressed.ephemeral
    assert await house.services.ledger.consent.consenting(house.guild.id) == {house.ann.id}
    assert await house.services.ledger.consent.refusing(house.guild.id) == {house.ben.id}


async def test_an_admin_erases_somebody_and_nobody_else_may_press(house: House) -> None:
    await opted_in(house, house.ann)
    await house.ann.send(house.general, MARK)
    asked = await house.boss.slash(house.general, "consent forget", user=house.ann)
    assert asked.response is not None
    house.env.backend.get_message(house.general.id, asked.response.id).flags = 0
    await house.ben.click(asked.response, label="Erase it all")
    assert house.on_disk(MARK)
    await house.boss.click(asked.response, label="Erase it all")
    assert not house.on_disk(MARK)


async def test_an_admin_who_lost_the_right_meanwhile_erases_nobody(house: House) -> None:
    await opted_in(house, house.ann)
    await house.ann.send(house.general, "mine")
    asked = await house.boss.slash(house.general, "consent forget", user=house.ann)
    for role in house.env.backend.get_guild(house.guild.id).members[house.boss.id].role_ids.copy():
        house.env.backend.remove_member_role(house.guild.id, house.boss.id, role)
    pressed = await house.boss.click(asked.response, label="Erase it all")
    assert "may manage this server" in text_of(pressed)
    assert await house.services.ledger.messages.count(house.guild.id) == 1


def test_other_words_are_another_version_of_the_wording() -> None:
    known = {"2026-11-1": "d5464269f657aead", "2026-11-2": "3293e7e8d34540c0"}
    assert hashlib.sha256(WORDS.encode()).hexdigest()[:16] == known[WORDING_VERSION]


async def test_the_status_says_what_is_kept_until_when_and_how_to_undo_it(house: House) -> None:
    await opted_in(house, house.ann)
    message = await house.ann.send(house.general, "I love soup")
    await house.ask(house.ann, "hello")
    version = await house.candidate()
    ledger = house.services.ledger
    [run] = await ledger.runs.of_guild(house.guild.id)
    await ledger.runs.learned_from(run.id, [(message.id, house.ann.id)])
    text = text_of(await house.ann.slash(house.general, "privacy status"))
    assert f"`{version}`, until <t:" in text
    assert "2, the newest until <t:" in text
    assert '"1, 0"' in text
    for command in ("opt-out", "export", "forget-me"):
        assert f"/privacy {command}" in text


async def test_consent_for_a_second_channel_comes_to_the_first_and_a_yes_for_all_can_be_narrowed(
    house: House,
) -> None:
    kitchen, attic = (house.guild.create_text_channel(name) for name in ("kitchen", "attic"))
    for channel in (house.general, kitchen):
        await house.ann.slash(house.general, "privacy opt-in", channel=channel)
    for channel in (house.general, kitchen, attic):
        await house.ann.send(channel, f"said in {channel.id}")
    stored = await house.services.ledger.messages.of_guild(house.guild.id)
    assert {m.channel_id for m in stored} == {house.general.id, kitchen.id}
    await house.ann.slash(house.general, "privacy opt-in")
    await house.ann.slash(house.general, "privacy opt-in", channel=attic)
    consent = house.services.ledger.consent
    assert await consent.allows(house.guild.id, house.ann.id, attic.id)
    assert not await consent.allows(house.guild.id, house.ann.id, house.general.id)


async def test_a_large_export_comes_packed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "PLAIN_BYTES", 10)
    result = await house.ann.slash(house.general, "privacy export")
    assert result.response is not None
    [file] = result.response.attachments
    assert file.filename.endswith(".json.gz")
    content = json.loads(gzip.decompress(house.env.backend.cdn.get(file.url) or b""))
    assert content["user"] == house.ann.id


async def test_an_admin_who_said_no_teaches_nothing(house: House) -> None:
    await house.boss.slash(house.general, "privacy opt-out")
    told = await house.boss.slash(house.general, "train teach", question="who?", answer=MARK)
    assert "I shall not learn from you" in text_of(told)
    assert not house.on_disk(MARK)


GROUND = "the archive, by vote of the members of 3 May"


async def imported(
    house: House, who: simcord.MemberActor, count: int, ground: str, source: str = "import"
) -> None:
    """Keep what an import would, on the operator's ground."""
    ledger = house.services.ledger
    await ledger.guilds.ensure(house.guild.id, "Lantern Yard")
    await ledger.channels.ensure(house.general.id, house.guild.id, "general")
    start = await ledger.messages.count(house.guild.id)
    said = [
        Message(
            7_000_000 + start + number,
            house.guild.id,
            house.general.id,
            who.id,
            who.name,
            f"{MARK} {number}",
            to_ms(NOON) + number,
            source=source,
            basis=ground,
        )
        for number in range(count)
    ]
    assert await ledger.messages.add_many(said) == count


async def kept(house: House, who: simcord.MemberActor) -> str:
    """Return the status's field about the messages that are kept."""
    result = await who.slash(house.general, "privacy status")
    assert result.response is not None
    return next(str(f.value) for f in result.response.embeds[0].fields if f.name == "Messages kept")


async def test_who_was_imported_and_never_asked_reads_where_the_words_came_from(house: House) -> None:
    await imported(house, house.ann, 44, GROUND)
    result = await house.ann.slash(house.general, "privacy status")
    text = text_of(result)
    assert "never asked" in text
    assert f"44 that the operator imported, on this ground: {GROUND}" in text
    assert "erases all of them now, wherever they came from" in text
    assert "I keep nothing" not in text
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await house.ann.click(asked.response, label="Erase it all")
    assert not house.on_disk(MARK)
    assert await kept(house, house.ann) == "none"


async def test_messages_are_counted_by_where_they_came_from(house: House) -> None:
    await opted_in(house, house.ann, house.boss)
    for text in ("one", "two"):
        await house.ann.send(house.general, text)
    await imported(house, house.ann, 3, GROUND)
    await imported(house, house.ann, 4, "data-package", source="package")
    await imported(house, house.ann, 5, "an older vote")
    await house.boss.slash(house.general, "train teach", question="who?", answer="me")
    text = await kept(house, house.ann)
    assert text.startswith("14, the newest until <t:")
    for line in (
        "• 2 that you agreed to",
        "• 4 from your data package",
        "• 5 that the operator imported, on this ground: an older vote",
        f"• 3 that the operator imported, on this ground: {GROUND}",
    ):
        assert line in text.splitlines()
    assert "• 1 that you wrote as an example" in (await kept(house, house.boss)).splitlines()


async def test_many_long_grounds_fit_and_what_is_left_out_is_counted(house: House) -> None:
    for number in range(7):
        await imported(house, house.ann, 1 + number, f"ground {number} *bold* " + "x" * 400)
    text = await kept(house, house.ann)
    assert len(text) <= 1024
    assert "• 6 that the operator imported on other grounds" in text
    assert "*bold*" not in text.replace("\\*", "")
    assert "erases all of them" in text
