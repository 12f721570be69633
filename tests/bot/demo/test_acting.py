"""What people do in the demo's Discord, and what Discord would not let them."""

from __future__ import annotations

import pytest

from bot.demo.acting import NotPossible
from bot.demo.world import World


async def test_a_button_changes_its_message(world: World) -> None:
    outcome = await world.slash("Mira", "workshop", "train report")
    assert outcome.message_id is not None
    await world.click("Mira", "workshop", outcome.message_id, "rollback")
    report = world.messages("workshop")[-1]
    assert report.content == "Back to the **previous** version."
    with pytest.raises(NotPossible, match="disabled"):
        await world.click("Mira", "workshop", outcome.message_id, "rollback")


async def test_a_command_for_admins_cannot_be_run_by_others(world: World) -> None:
    with pytest.raises(NotPossible, match="not visible"):
        await world.slash("Otto", "workshop", "train report")


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
