"""The report in the admin channel: what it holds, and when it is posted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import discord
import pytest

from bot.client import NightschoolBot
from bot.nights.reporting import NightReports
from bot.nights.trainer_process import WatchedNight
from ledger.learned.outcome import Ending, Outcome
from tests.bot.house import (
    House,
    StandInEngine,
    open_house,
    settings_for,
    text_of,
    there,
    trainer_command,
    until,
)
from tests.bot.nights.test_night_embeds import FACTS


def reports_of(house: House) -> NightReports:
    return house.bot.own.reports


async def night_of(house: House, guild: Any = None, **outcome: Any) -> discord.Message | None:
    """Have the bot report on a night, and return what it posted."""
    guild = guild or house.guild
    night = WatchedNight(guild_id=guild.id, trigger="test", started_at=house.services.clock.now())
    night.outcome = Outcome.from_json({**FACTS, **outcome})
    before = len(house.last(house.office))
    await reports_of(house).report(night)
    posted = house.last(house.office)[before:]
    return posted[0] if posted else None


def labels(message: discord.Message | None) -> list[str]:
    rows = [row for row in there(message).components if isinstance(row, discord.ActionRow)]
    return [
        str(button.label) for row in rows for button in row.children if isinstance(button, discord.Button)
    ]


async def test_a_night_that_ends_is_reported_in_the_admin_channel_with_its_picture(
    house: House, tmp_path: Path, script: Callable[[str], Path]
) -> None:
    picture = tmp_path / "loss.png"
    picture.write_bytes(b"\x89PNG picture")
    version = await house.candidate()
    outcome = {**FACTS, "stage": "kept", "candidate": version, "loss_curve": str(picture)}
    house.services.nights._command = trainer_command(script(f"print({json.dumps(json.dumps(outcome))})"))
    await house.boss.slash(house.general, "train start")
    await until(lambda: house.last(house.office))
    [report] = house.last(house.office)
    assert len(report.embeds) == 2
    assert report.attachments[0].filename == "loss.png"
    assert report.embeds[0].image.url == "attachment://loss.png" or "loss.png" in str(
        report.embeds[0].image.url
    )
    assert labels(report) == ["Promote it anyway"]


async def test_a_server_without_the_admin_channel_gets_no_report(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    other = house.env.create_guild("Second Home")
    await house.env.settle()
    assert await night_of(house, other) is None
    assert "no channel" in caplog.text


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("promoted", ["Roll back"]),
        ("kept", ["Promote it anyway"]),
        ("skipped", []),
        ("failed", []),
        ("cancelled", []),
    ],
)
async def test_the_buttons_fit_the_end_of_the_night(house: House, stage: Ending, expected: list[str]) -> None:
    assert labels(await night_of(house, stage=stage)) == expected


@pytest.mark.parametrize(
    "measured",
    [
        {"scores": {"candidate": {"nll": float("nan"), "perplexity": 20.0, "general_nll": 3.0}}},
        {"scores": {"candidate": {"nll": 3.0, "perplexity": 20.0, "general_nll": float("inf")}}},
        {"recitals": {"values": 1, "rate": 0.0, "limit": 0.02}},
        {"recitals": {"values": 0, "rate": 0.5, "limit": 0.02}},
    ],
)
async def test_what_the_verdict_refused_as_broken_or_unsafe_is_offered_to_nobody(
    house: House, measured: dict[str, Any]
) -> None:
    version = await house.candidate()
    await house.services.ledger.adapters.set_metrics(version, measured)
    report = await night_of(house, candidate=version, stage="kept", **measured)
    assert labels(report) == []
    refused = await house.boss.slash(house.general, "adapter promote", version=version)
    assert "nobody can promote it" in text_of(refused)
    assert await house.services.ledger.adapters.champion(house.guild.id) is None


async def test_what_was_promoted_serves_before_it_is_reported(house: House) -> None:
    version = await house.candidate()
    await house.services.ledger.promotions.promote(house.guild.id, version, by="trainer")
    await night_of(house, candidate=version)
    assert house.services.serving.version(house.guild.id) == version


async def test_a_promoted_version_that_the_engine_refuses_is_reported(
    house: House, engine: StandInEngine
) -> None:
    version = await house.candidate()
    engine.refused[version] = "wrong hash"
    await house.services.ledger.promotions.promote(house.guild.id, version, by="trainer")
    report = await night_of(house, candidate=version)
    assert report is not None
    assert "wrong hash" in report.content


async def test_a_report_with_huge_texts_is_accepted_by_discord(house: House) -> None:
    report = await night_of(
        house,
        reasons=["because " * 300] * 20,
        samples=[{"context": "*" * 999, "before": "_" * 999, "after": "`" * 999}] * 3,
        counts={f"kind_{number}": number for number in range(200)},
    )
    assert report is not None


async def test_a_members_words_in_a_report_ping_nobody(house: House) -> None:
    sample = {"context": f"@everyone {house.ann.mention}", "before": "@here", "after": "@everyone"}
    report = await night_of(house, samples=[sample])
    assert report is not None
    stored = house.env.backend.get_message(house.office.id, report.id)
    assert not stored.mention_everyone
    assert stored.ping_user_ids == []
    assert "@everyone" not in json.dumps(report.embeds[1].to_dict())


async def finished_night(house: House) -> tuple[Any, str]:
    """Record a night that promoted a version; return its run and the version."""
    ledger, version = house.services.ledger, await house.candidate()
    [run] = await ledger.runs.of_guild(house.guild.id)
    metrics = {"scores": {"candidate": {"perplexity": 12.5, "nll": 2.5}}}
    ended = await ledger.runs.advance(
        run.id, "promoted", candidate=version, reasons=["It is better."], metrics=metrics
    )
    return ended, version


async def owed(house: House) -> None:
    house.services.clock.advance(minutes=2)  # type: ignore[attr-defined]
    await reports_of(house).deliver_owed()


@pytest.mark.parametrize("status", [403, 503])
async def test_a_report_that_discord_does_not_take_is_posted_later_and_once(
    house: House, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    run, version = await finished_night(house)
    house.env.inject_error("POST", "/channels/*/messages", status=status, times=2)
    assert await night_of(house, run=run.id, candidate=version) is None
    await owed(house)
    assert caplog.text.count("still to be posted") == 1
    for _ in range(3):
        await owed(house)
    [report] = house.last(house.office)
    assert labels(report) == ["Roll back"]
    assert "It is better." in str(report.embeds[0].description)
    assert "12.50" in str(report.embeds[0].fields[0].value)


async def test_a_report_is_owed_across_a_restart_and_for_a_night_that_ended_without_the_bot(
    house: House,
) -> None:
    await finished_night(house)
    await house.env.restart_bot(NightschoolBot(house.services))
    await owed(house)
    assert len(house.last(house.office)) == 1
    await owed(house)
    assert len(house.last(house.office)) == 1


async def test_a_night_that_could_not_begin_is_reported_once_discord_is_back(house: House) -> None:
    house.env.inject_error("POST", "/channels/*/messages", status=503)
    assert await night_of(house, run=None, stage="failed", error="There is no trainer.") is None
    await owed(house)
    [report] = house.last(house.office)
    assert "There is no trainer." in str(report.embeds[0].description)
    await owed(house)
    assert len(house.last(house.office)) == 1


async def test_the_settings_name_the_admin_channel(tmp_path: Path, engine: StandInEngine) -> None:
    async with open_house(settings_for(tmp_path, engine.url, admin_channel="backstage")) as house:
        report = await night_of(house)
        assert report is not None
        assert house.office.name == "backstage"
