"""A member's say: every command concerns the person who runs it, and nobody else sees the answer."""

from __future__ import annotations

import contextlib
import gzip
import json

import pytest

from bot.cogs import privacy
from tests.bot.house import MARK, House, text_of, there


async def test_nobody_is_learned_from_before_they_say_yes(house: House) -> None:
    assert "never asked" in text_of(await house.ann.slash(house.general, "privacy status"))
    await house.opt_in(house.ann)
    assert "You said yes" in text_of(await house.ann.slash(house.general, "privacy status"))
    await house.ann.slash(house.general, "privacy opt-out")
    assert "You said no" in text_of(await house.ann.slash(house.general, "privacy status"))


async def test_opting_out_keeps_what_follows_from_being_kept(house: House) -> None:
    await house.opt_in(house.ann)
    await house.ann.send(house.general, "kept")
    await house.ann.slash(house.general, "privacy opt-out")
    await house.ann.send(house.general, MARK)
    assert not house.on_disk(MARK)


async def test_consent_in_one_server_is_none_in_another(house: House) -> None:
    other = house.env.create_guild("Second Home")
    lobby = other.create_text_channel("lobby")
    await house.opt_in(house.ann)
    twin = other.add_member(house.ann.user)
    await twin.send(lobby, MARK)
    assert not house.on_disk(MARK)
    assert "never asked" in text_of(await twin.slash(lobby, "privacy status"))


async def test_the_export_holds_everything_of_the_member_and_nothing_of_others(house: House) -> None:
    await house.opt_in(house.ann, house.ben)
    await house.ann.send(house.general, "mine")
    await house.ben.send(house.general, MARK)
    await house.env.advance_time(20 * 60)
    await house.ask(house.ann, "hello")
    await house.ann.react(house.last()[0], "👍")
    content = await house.exported(house.ann)
    assert [message["content"] for message in content["messages"]] == ["mine", "hello"]
    assert [reply["content"] for reply in content["replies_to_you"]] == ["Good evening."]
    assert [event["granted"] for event in content["consent"]] == [True]
    assert [reaction["emoji"] for reaction in content["reactions"]] == ["👍"]
    assert MARK not in json.dumps(content)


async def test_forget_me_erases_everything_from_the_disk_and_says_how_much(house: House) -> None:
    await house.opt_in(house.ann, house.ben)
    for number in range(3):
        await house.ann.send(house.general, f"{MARK} {number}")
    await house.ben.send(house.general, "I stay")
    await house.ask(house.ann, f"{MARK} again")
    await house.ann.react(house.last()[0], "👍")
    asked = await house.ann.slash(house.general, "privacy forget-me")
    assert asked.ephemeral
    assert house.on_disk(MARK)
    pressed = await house.ann.click(there(asked.response), label="Erase it all")
    assert "Erased: 4 messages, 1 answers to you and 1 reactions" in text_of(pressed)
    assert not house.on_disk(MARK)
    ledger = house.services.ledger
    assert [m.content for m in await ledger.messages.of_guild(house.guild.id)] == ["I stay"]
    assert await ledger.people.names(house.guild.id) == {house.ben.id: "ben"}
    await house.ann.send(house.general, MARK)
    assert not house.on_disk(MARK)


async def test_an_opt_out_counts_though_its_acknowledgement_comes_too_late(house: House) -> None:
    await house.opt_in(house.ann)
    house.env.inject_error("POST", "/interactions/*", status=404, code=10062, times=None)
    with contextlib.suppress(Exception):
        await house.ann.slash(house.general, "privacy opt-out")
    house.env.backend.faults.clear()
    event = await house.services.ledger.consent.current(house.guild.id, house.ann.id)
    assert event is not None
    assert not event.granted


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


async def test_a_large_export_comes_packed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privacy, "PLAIN_BYTES", 10)
    result = await house.ann.slash(house.general, "privacy export")
    assert result.response is not None
    [file] = result.response.attachments
    assert file.filename.endswith(".json.gz")
    content = json.loads(gzip.decompress(house.env.backend.cdn.get(file.url) or b""))
    assert content["user"] == house.ann.id
