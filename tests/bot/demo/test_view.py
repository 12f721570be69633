"""What one member sees, and what is for other eyes alone."""

from __future__ import annotations

import pytest

from bot.demo.acting import NotPossible
from bot.demo.world import World
from tests.bot.demo.watching import FULL, drain, seen_by


async def test_an_ephemeral_answer_is_for_its_viewer_alone(world: World) -> None:
    with world.events() as queue:
        await world.slash("Otto", "lounge", "privacy", {"scope": "all", "days": "3", "channel": "workshop"})
        assert [e.kind for e in drain(queue)] == ["message"]
    lounge = str(world.messages("lounge")[0].channel_id)
    mine = seen_by(world, "Otto")["messages"][lounge][-1]
    assert mine["ephemeral"]
    assert mine["content"].startswith("Nothing is stored: all, 3 days, <#")
    assert not any(message["ephemeral"] for message in seen_by(world, "Mira")["messages"][lounge])


async def test_a_direct_message_reaches_the_bot_and_is_answered(world: World) -> None:
    await world.say("Bas", "dm", "key?")
    direct = seen_by(world, "Bas")["channels"][-1]["id"]
    await world.until(lambda: seen_by(world, "Bas")["messages"][direct][-1]["content"] == FULL, 5)
    texts = [message["content"] for message in seen_by(world, "Bas")["messages"][direct]]
    assert texts == ["key?", FULL]
    assert direct not in {channel["id"] for channel in seen_by(world, "Mira")["channels"]}


async def test_a_reply_names_its_message_and_an_edit_and_a_deletion_are_seen(world: World) -> None:
    first = await world.say("Pip", "lounge", "a pun")
    second = await world.say("Quill", "lounge", "no", reply_to=first)
    await world.edit("Quill", "lounge", second, "strictly speaking, no")
    lounge = str(world.messages("lounge")[0].channel_id)
    shown = seen_by(world, "Mira")["messages"][lounge][-1]
    assert shown["reply"]["content"] == "a pun"
    assert shown["edited"]
    with pytest.raises(NotPossible):
        await world.edit("Pip", "lounge", second, "yes")
    await world.delete("Pip", "lounge", first)
    assert seen_by(world, "Mira")["messages"][lounge][-1]["reply"]["author"] is None
