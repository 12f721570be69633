"""People act in the demo's world while the bot streams its answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.demo.acting import NotPossible
from bot.demo.live import LiveClock
from bot.demo.sample import load_exports
from bot.demo.view import commands
from bot.demo.world import World

FULL = "the key to the shed is **under the ceramic frog**, as `always`"


def _answers(world: World, channel: str = "workshop") -> list[Any]:
    return [m for m in world.messages(channel) if m.author_id == world.bot_id]


async def _finished(world: World, count: int) -> list[Any]:
    await world.until(lambda: sum(a.content == FULL for a in _answers(world)) == count, 5)
    return _answers(world)


async def test_guild_channels_people_and_messages_keep_the_ids_of_the_exports(world: World) -> None:
    exports = load_exports()
    guild = world.bot.get_guild(int(exports[0]["guild"]["id"]))
    assert guild is not None
    assert guild.name == "Lantern Yard"
    for export in exports:
        channel = guild.get_channel(int(export["channel"]["id"]))
        assert channel is not None
        assert channel.name == export["channel"]["name"]
        last = export["messages"][-1]
        assert world.messages(channel.id)[-1].id == int(last["id"])
        member = guild.get_member(int(last["author"]["id"]))
        assert member is not None
        assert member.display_name == last["author"]["name"]


async def test_the_owner_is_the_admin_and_the_admin_channel_is_hidden_from_the_others(world: World) -> None:
    guild = world.bot.get_guild(world.guild_id)
    assert guild is not None
    assert guild.owner is not None
    assert guild.owner.name == "Mira"
    assert "nightschool" in {channel["name"] for channel in world.snapshot("Mira")["channels"]}
    assert "nightschool" not in {channel["name"] for channel in world.snapshot("Otto")["channels"]}
    admin_channel = guild.get_channel(world.stage.admin_channel_id)
    assert admin_channel is not None
    assert admin_channel.permissions_for(guild.me).send_messages
    with pytest.raises(NotPossible):
        await world.say("Otto", "nightschool", "hello?")


async def test_what_takes_a_file_is_not_offered_where_none_can_be_given(world: World) -> None:
    workshop = next(channel for channel in world.stage.channels.values() if channel.name == "workshop")
    offered = [command["name"] for command in commands(world, world.stage.member("Mira"), workshop)]
    assert "ask" in offered
    assert "train report" in offered
    assert "give" not in offered


async def test_two_people_act_while_an_answer_streams(world: World) -> None:
    with world.events() as queue:
        await world.say("Tamsin", "workshop", f"<@{world.bot_id}> where is the key?")
        await world.until(lambda: any(a.content.startswith("the key") for a in _answers(world)), 5)
        assert not any(answer.content == FULL for answer in _answers(world))
        said = await world.say("Rowan", "workshop", f"<@{world.bot_id}> and for me?")
        await world.react("Otto", "workshop", said, "🐝")
        outcome = await world.slash("Mira", "workshop", "train report")
        assert outcome.answered
        assert not any(answer.content == FULL for answer in _answers(world))
        answers = await _finished(world, 2)
        assert len(answers) == 3
        grown = [e.what for e in _drain(queue) if e.kind == "message" and e.what.id == answers[0].id]
    assert len(grown) == 1 + len(FULL.split())


def _drain(queue: asyncio.Queue[Any]) -> list[Any]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def test_a_worker_that_started_before_the_bot_answers_a_slash_command(
    world: World,
) -> None:
    outcome = await world.slash("Tamsin", "workshop", "ask", {"question": "where is the key?"})
    assert outcome.answered
    answers = await _finished(world, 1)
    assert answers[0].id == outcome.message_id


async def test_a_button_changes_its_message(world: World) -> None:
    outcome = await world.slash("Mira", "workshop", "train report")
    assert outcome.message_id is not None
    await world.click("Mira", "workshop", outcome.message_id, "rollback")
    report = world.messages("workshop")[-1]
    assert report.content == "Back to the **previous** version."
    with pytest.raises(NotPossible, match="disabled"):
        await world.click("Mira", "workshop", outcome.message_id, "rollback")


async def test_an_ephemeral_answer_is_for_its_viewer_alone(world: World) -> None:
    with world.events() as queue:
        await world.slash("Otto", "lounge", "privacy", {"scope": "all", "days": "3", "channel": "workshop"})
        assert [e.kind for e in _drain(queue)] == ["message"]
    lounge = str(world.messages("lounge")[0].channel_id)
    mine = world.snapshot("Otto")["messages"][lounge][-1]
    assert mine["ephemeral"]
    assert mine["content"].startswith("Nothing is stored: all, 3 days, <#")
    assert not any(message["ephemeral"] for message in world.snapshot("Mira")["messages"][lounge])


async def test_a_command_for_admins_cannot_be_run_by_others(world: World) -> None:
    with pytest.raises(NotPossible, match="not visible"):
        await world.slash("Otto", "workshop", "train report")


@pytest.mark.parametrize(
    "options", [{"scope": "all", "days": "99"}, {"scope": "no"}, {"scope": "all", "x": "1"}]
)
async def test_an_option_that_does_not_fit_is_refused(world: World, options: dict[str, str]) -> None:
    with pytest.raises(NotPossible):
        await world.slash("Otto", "workshop", "privacy", options)


async def test_a_form_is_opened_filled_in_and_sent(world: World) -> None:
    shown = await world.slash("Juni", "lounge", "feedback")
    assert shown.modal is not None
    outcome = await world.submit_modal("Juni", "lounge", shown.interaction_id, {"words": "best day ever!!"})
    assert outcome.answered
    assert world.messages("lounge")[-1].content == "Thank you: best day ever!!"
    with pytest.raises(NotPossible, match="no longer open"):
        await world.submit_modal("Juni", "lounge", shown.interaction_id, {"words": "again"})


async def test_an_option_offers_what_the_bot_suggests(world: World) -> None:
    offered = await world.autocomplete("Mira", "lounge", "promote", "version", "v1")
    assert [choice["value"] for choice in offered] == ["g1-v000001"]


async def test_a_direct_message_reaches_the_bot_and_is_answered(world: World) -> None:
    await world.say("Bas", "dm", "key?")
    direct = world.snapshot("Bas")["channels"][-1]["id"]
    await world.until(lambda: world.snapshot("Bas")["messages"][direct][-1]["content"] == FULL, 5)
    texts = [message["content"] for message in world.snapshot("Bas")["messages"][direct]]
    assert texts == ["key?", FULL]
    assert direct not in {channel["id"] for channel in world.snapshot("Mira")["channels"]}


async def test_a_reply_names_its_message_and_an_edit_and_a_deletion_are_seen(world: World) -> None:
    first = await world.say("Pip", "lounge", "a pun")
    second = await world.say("Quill", "lounge", "no", reply_to=first)
    await world.edit("Quill", "lounge", second, "strictly speaking, no")
    lounge = str(world.messages("lounge")[0].channel_id)
    shown = world.snapshot("Mira")["messages"][lounge][-1]
    assert shown["reply"]["content"] == "a pun"
    assert shown["edited"]
    with pytest.raises(NotPossible):
        await world.edit("Pip", "lounge", second, "yes")
    await world.delete("Pip", "lounge", first)
    assert world.snapshot("Mira")["messages"][lounge][-1]["reply"]["author"] is None


async def test_the_bot_hears_what_people_say_at_the_worlds_time(world: World) -> None:
    await world.say("Wanda", "lounge", "good morning, dears")
    bot: Any = world.bot
    await world.until(lambda: bot.overheard, 5)
    assert bot.overheard[0].author.display_name == "Wanda"
    assert abs(bot.overheard[0].created_at - world.clock.now()) < timedelta(seconds=5)


async def test_the_night_moves_the_clock_to_three_and_happens_once(world: World) -> None:
    happened: list[datetime] = []

    async def night() -> None:
        happened.append(world.clock.now())
        with pytest.raises(NotPossible, match="under way"):
            await world.next_night()
        world.tell_night("fitting")

    world.on_time_moved = night
    with world.events() as queue:
        moment = await world.next_night()
        texts = [event.what for event in _drain(queue) if event.kind == "night"]
    assert moment == datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
    assert moment <= happened[0] < moment + timedelta(seconds=5)
    assert texts == ["The night has begun.", "fitting", ""]
    assert await world.next_night() == moment + timedelta(days=1)


async def test_a_night_that_was_started_by_hand_is_waited_for_and_the_page_says_so(world: World) -> None:
    by_hand, before = asyncio.Event(), world.clock.now()

    async def ends() -> None:
        await by_hand.wait()

    world._under_way = ends
    with world.events() as queue:
        advancing = asyncio.create_task(world.next_night())
        await world.until(lambda: world.night_text, 5)
        assert world.night_text == "A night that was started by hand is under way; the next begins behind it."
        assert world.clock.now() - before < timedelta(minutes=1)
        by_hand.set()
        assert await advancing == datetime(2026, 1, 2, 3, 0, tzinfo=UTC)
        assert [event.kind for event in _drain(queue)] == ["night", "clock", "night", "night"]


def test_the_clock_ticks_and_never_goes_back() -> None:
    seconds = 100.0
    clock = LiveClock(datetime(2026, 1, 1, tzinfo=UTC), ticks=lambda: seconds)
    seconds += 30
    assert clock.now() == datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
    clock.move_to(datetime(2025, 1, 1, tzinfo=UTC))
    assert clock.now() == datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
    clock.move_to(datetime(2026, 1, 1, 3, tzinfo=UTC))
    assert clock.elapsed == 3 * 3600
