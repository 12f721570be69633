"""/train: a night started by hand, its progress, its end, and its place in the history."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.cogs import train
from bot.cogs.train import night_embed
from bot.nights.night_embeds import COLOURS
from bot.nights.trainer_process import WatchedNight
from ledger.clock import to_ms
from ledger.learned.outcome import Ending, Outcome
from ledger.people.quarantine import ABUSE, WORDS
from tests.bot.house import MARK, NOON, House, StandInEngine, open_house, settings_for, text_of, there, until

TRAINER = """
import json, pathlib, signal, sys, time
here = pathlib.Path(__file__)
def stop(*_):
    print(json.dumps({"stage": "cancelled", "reasons": ["stopped by an admin"]}), flush=True)
    sys.exit(1)
signal.signal(signal.SIGINT, stop)
step = 0
while not here.with_name("end").exists():
    if here.with_name(f"step{step + 1}").exists():
        step += 1
        line = {"run": "r", "stage": "fit", "step": step, "steps": 4}
        line |= {"loss": 3.0 / step, "eta_seconds": 300 / step}
        print(json.dumps({"progress": line}), flush=True)
    time.sleep(0.005)
print(json.dumps({"stage": "kept", "reasons": ["it was not better"]}), flush=True)
"""


@pytest.fixture
async def house(
    tmp_path: Path, engine: StandInEngine, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[House]:
    """A house whose trainer makes a step when a file says so; live messages look every few milliseconds."""
    monkeypatch.setattr(train, "LIVE_INTERVAL", 0.005)
    script = tmp_path / "trainer.py"
    script.write_text(TRAINER)
    async with open_house(settings_for(tmp_path, engine.url), trainer=script) as opened:
        yield opened
        (tmp_path / "end").touch()


async def step(house: House, tmp_path: Path, number: int) -> None:
    (tmp_path / f"step{number}").touch()
    night = house.services.nights.current(house.guild.id)
    assert night is not None
    await until(lambda: night.step == number)


async def test_a_night_started_by_hand_shows_its_progress_live_until_it_ends(
    house: House, tmp_path: Path
) -> None:
    result = await house.boss.slash(house.general, "train start")
    assert result.ephemeral
    assert "about to begin" in text_of(result)
    await step(house, tmp_path, 1)
    await until(lambda: "Stage 3 of 6: fit" in text_of(result))
    shown = text_of(result)
    assert "█████░░░░░░░░░░░░░░░" in shown
    assert "25%" in shown
    assert "step 1 of 4" in shown
    assert "loss 3.000" in shown
    assert "about 5 min left" in shown
    await step(house, tmp_path, 2)
    await until(lambda: "loss 1.500" in text_of(result))
    (tmp_path / "end").touch()
    await until(lambda: "The night has ended: kept" in text_of(result))


async def test_the_status_of_a_running_night_is_live_too(house: House, tmp_path: Path) -> None:
    await house.boss.slash(house.general, "train start")
    await step(house, tmp_path, 1)
    result = await house.boss.slash(house.general, "train status")
    assert "Stage 3 of 6: fit" in text_of(result)
    await step(house, tmp_path, 2)
    await until(lambda: "50%" in text_of(result))


async def test_without_a_night_the_status_names_the_last_one(house: House) -> None:
    assert text_of(await house.boss.slash(house.general, "train status")) == "No night is under way."
    await house.candidate()
    [run] = await house.services.ledger.runs.of_guild(house.guild.id)
    await house.services.ledger.runs.advance(run.id, "skipped")
    assert "skipped" in text_of(await house.boss.slash(house.general, "train status"))


async def test_a_second_start_is_refused_with_a_hint(house: House) -> None:
    await house.boss.slash(house.general, "train start")
    result = await house.boss.slash(house.general, "train start")
    assert "under way already" in text_of(result)
    assert result.ephemeral


async def test_cancelling_stops_the_trainer_and_is_reported(house: House, tmp_path: Path) -> None:
    assert "No night" in text_of(await house.boss.slash(house.general, "train cancel"))
    result = await house.boss.slash(house.general, "train start")
    await step(house, tmp_path, 1)
    assert "Stopping" in text_of(await house.boss.slash(house.general, "train cancel"))
    await until(lambda: "The night has ended: cancelled" in text_of(result))
    await until(lambda: house.last(house.office))
    assert "stopped by an admin" in str(house.last(house.office)[0].embeds[0].description)


async def test_the_bot_keeps_answering_during_a_night(house: House, tmp_path: Path) -> None:
    await house.boss.slash(house.general, "train start")
    await step(house, tmp_path, 1)
    await asyncio.wait_for(house.ask(house.ann, "are you awake?"), 2)
    assert house.said() == ["Good evening."]


async def test_a_live_message_that_was_closed_ends_quietly(
    house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = await house.boss.slash(house.general, "train start")
    assert result.response is not None
    house.env.backend.delete_message(house.general.id, result.response.id)
    await step(house, tmp_path, 1)
    (tmp_path / "end").touch()
    await until(lambda: house.services.nights.current(house.guild.id) is None)
    assert "train-status failed" not in caplog.text


async def test_the_history_tells_how_each_night_ended(house: House) -> None:
    assert "None yet" in text_of(await house.boss.slash(house.general, "train history"))
    for stage in ("skipped", "kept"):
        run = await house.services.ledger.runs.create(house.guild.id, "schedule")
        scores = {"scores": {"candidate": {"perplexity": 44.7}}} if stage == "kept" else {}
        await house.services.ledger.runs.advance(run.id, stage, metrics=scores)
    text = text_of(await house.boss.slash(house.general, "train history"))
    assert "**skipped**" in text
    assert "**kept**" in text
    assert "44.7" in text


async def test_the_history_names_people_and_short_versions(house: House) -> None:
    ledger, guild = house.services.ledger, house.guild.id
    version = await house.candidate()
    [made] = await ledger.runs.of_guild(guild)
    await ledger.runs.advance(made.id, "kept", candidate=version)
    by_hand = await ledger.runs.create(guild, f"/train start by {house.boss.id}")
    await ledger.runs.advance(by_hand.id, "cancelled")
    await ledger.runs.create(guild, "schedule")
    result = await house.boss.slash(house.general, "train history")
    [embed] = json.loads(f"[{text_of(result).strip()}]")
    cut_off, stopped, kept = embed["description"].splitlines()
    assert cut_off.endswith("**cut off (it was planned)** · schedule")
    assert stopped.endswith(f"**cancelled** · started by {house.boss.mention}")
    assert "**kept** · v1, 2 March · " in kept
    assert version not in embed["description"]
    assert made.id not in embed["description"]


async def test_a_night_that_was_cut_off_is_called_that_and_not_ended(house: House) -> None:
    run = await house.services.ledger.runs.create(house.guild.id, "schedule")
    await house.services.ledger.runs.advance(run.id, "prepared")
    text = text_of(await house.boss.slash(house.general, "train status"))
    assert "was cut off (it was prepared); the next start takes it up" in text


async def test_a_live_message_that_discord_lets_nobody_edit_any_longer_says_where_to_look(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "LIVE_SECONDS", 0.05)
    result = await house.boss.slash(house.general, "train start")
    response = there(result.response)

    def footer() -> str | None:
        [shown] = house.env.backend.get_message(house.general.id, response.id).embeds
        return (
            str(shown.get("footer", {}).get("text") or "") if isinstance(shown, dict) else shown.footer.text
        )

    await until(footer)
    assert footer() == train.NO_LONGER_LIVE
    (tmp_path / "end").touch()


async def test_another_servers_night_is_not_shown_here(house: House) -> None:
    other = house.env.create_guild("Second Home")
    await house.env.settle()
    house.services.nights.start(other.id, trigger="test")
    assert text_of(await house.boss.slash(house.general, "train status")) == "No night is under way."
    assert "No night" in text_of(await house.boss.slash(house.general, "train cancel"))


def test_progress_is_shown_before_the_first_step_and_without_loss_or_time_left() -> None:
    night = WatchedNight(guild_id=7, trigger="test", started_at=NOON)
    assert "about to begin" in str(night_embed(night).title)
    night.stage = "prepare"
    assert "step 0 of 0" in str(night_embed(night).description)
    night.stage, night.cancelled = "evaluate", True
    assert night_embed(night).title == "Stopping 4 of 6: evaluate"
    night.stage, night.step, night.steps, night.eta_seconds = "fit", 9, 10, 12.4
    assert "about 12 s left" in str(night_embed(night).description)


@pytest.mark.parametrize("stage", ["promoted", "failed"])
def test_the_end_of_a_night_is_shown_in_its_colour(stage: Ending) -> None:
    night = WatchedNight(guild_id=7, trigger="test", started_at=NOON, outcome=Outcome(stage=stage))
    night.ended.set()
    assert night_embed(night).colour == COLOURS[stage]


async def test_an_example_is_kept_as_a_conversation_of_its_own_and_goes_with_its_author(house: House) -> None:
    await house.boss.slash(house.general, "train teach", question="who feeds the lamp?", answer="Otto does")
    ledger, guild_id = house.services.ledger, house.guild.id
    asked, answered = await ledger.messages.of_guild(guild_id)
    assert (asked.content, answered.content) == ("who feeds the lamp?", "Otto does")
    assert (answered.author_id, answered.reply_to) == (house.boss.id, asked.id)
    assert {asked.source, answered.source} == {"example"}
    await house.services.forgetting.person(guild_id, house.ann.id, asked_by="member")
    assert len(await ledger.messages.of_guild(guild_id)) == 2
    await house.services.forgetting.person(guild_id, house.boss.id, asked_by="member")
    assert await ledger.messages.of_guild(guild_id) == []


async def test_an_admin_who_said_no_teaches_nothing(house: House) -> None:
    await house.boss.slash(house.general, "privacy opt-out")
    told = await house.boss.slash(house.general, "train teach", question="who?", answer=MARK)
    assert "I shall not learn from you" in text_of(told)
    assert not house.on_disk(MARK)


async def test_admins_see_who_is_in_quarantine_and_why_and_let_them_in(house: House) -> None:
    ledger, guild_id = house.services.ledger, house.guild.id
    empty = await house.boss.slash(house.general, "train quarantine list")
    assert text_of(empty) == "Nights leave nobody's words out."
    await house.opt_in(house.ann)
    await house.ann.send(house.general, MARK)
    await ledger.quarantine.hold(guild_id, {house.ann.id: [ABUSE]}, since=to_ms(NOON), days=14)
    listed = await house.boss.slash(house.general, "train quarantine list")
    assert listed.ephemeral
    assert house.ann.mention in text_of(listed)
    assert WORDS[ABUSE] in text_of(listed)
    assert MARK not in text_of(listed)
    allowed = await house.boss.slash(house.general, "train quarantine allow", user=house.ann)
    assert allowed.ephemeral
    assert house.ann.mention in text_of(allowed)
    held = await ledger.quarantine.of_person(guild_id, house.ann.id)
    assert held is not None
    assert held.allowed_by == str(house.boss.id)
    refused = await house.boss.slash(house.general, "train quarantine allow", user=house.ben)
    assert "is in quarantine; list shows who is" in text_of(refused)
