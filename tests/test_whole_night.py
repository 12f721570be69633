"""The whole day and night: from a member's message in Discord to a swapped adapter that answers.

Nothing stands in for anything but Discord itself: the bot, its engine process, its trainer process and
the schedule are the product's own, on a tiny random Llama.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from bot.client import NightschoolBot
from bot.services import Services, open_services
from ledger.learned.outcome import Outcome
from ledger.settings import load_settings
from tests.bot.house import House, _furnished, connected, short, text_of, until
from tests.conftest import FakeClock
from tests.looking import answers_of

PERMISSION = '\n[policy]\ndiscord_permission = "granted for this test, 2026-03-02, reference 1"\n'
SHARES = "[dataset]\ntest_share = 0.25\nvalidation_share = 0.15\n"
WORDS = tuple(
    "sourdough umbrella router choir kitchen bicycle ladder lamp bucket street evening cat green old"  # noqa: SIM905
    " outgrown Thursday tonight tomorrow because whether twice really everybody nobody".split()
)
DAYS, TALKS_A_DAY = 14, 3
QUESTION = "did anyone feed the sourdough tonight?"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def a_fortnight(house: House) -> None:
    """Let two members who agreed talk, in sentences that never repeat, and a third who did not join in."""
    draw = random.Random(20)
    for member in (house.ann, house.ben):
        await member.slash(house.general, "privacy opt-in")
    for _ in range(DAYS * TALKS_A_DAY):
        await house.env.advance_time(3 * 3600)
        asked = await house.ann.send(house.general, " ".join(draw.sample(WORDS, 8)) + "?")
        await house.ben.send(house.general, " ".join(draw.sample(WORDS, 8)), reply_to=asked)
        await house.boss.send(house.general, "unrecorded marmalade")


async def the_night(services: Services, clock: FakeClock, guild_id: int) -> Outcome:
    """Move the clock past three, wake the schedule, and wait for the night's end."""
    clock.advance(hours=16)
    assert await services.schedule.tick() == [guild_id]
    assert await services.schedule.tick() == [], "a second wake-up starts nothing"
    await until(lambda: guild_id in services.nights.last, seconds=180)
    outcome = services.nights.last[guild_id].outcome
    assert outcome is not None
    return outcome


def jsonl(services: Services) -> list[dict[str, object]]:
    """Return every line of every dataset on the disk."""
    paths = services.settings.datasets_dir.glob("*/*.jsonl")
    return [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


async def test_what_members_say_by_day_answers_them_after_the_night(
    config_file: Path, clock: FakeClock
) -> None:
    text = config_file.read_text(encoding="utf-8").replace("[dataset]\n", SHARES)
    config_file.write_text(text + PERMISSION, encoding="utf-8")
    settings = load_settings(config_file)
    async with open_services(settings, config=config_file, clock=clock) as services:
        assert services.engine_process is not None
        await services.engine_process.ready()
        bot = NightschoolBot(services)
        async with connected(bot) as env:
            house = _furnished(env, bot, services)
            await services.ledger.guilds.ensure(house.guild.id, house.guild.name)
            await a_fortnight(house)
            assert await services.ledger.messages.count(house.guild.id) == 2 * TALKS_A_DAY * DAYS
            await house.ask(house.ann, QUESTION)
            assert (await answers_of(services.ledger, house.guild.id))[0].adapter_version is None

            outcome = await the_night(services, clock, house.guild.id)
            assert outcome.stage == "promoted", outcome
            base, candidate = outcome.perplexity["base"], outcome.perplexity["candidate"]
            assert base is not None
            assert candidate is not None
            assert candidate < base

            # What was learned from is what the consenting two said, and nothing else.
            lines = jsonl(services)
            assert lines
            assert "marmalade" not in json.dumps(lines)
            stored = {m.id for m in await services.ledger.messages.of_guild(house.guild.id)}
            assert {n for line in lines for n in line["message_ids"]} <= stored  # type: ignore[attr-defined]

            await until(lambda: services.serving.version(house.guild.id) is not None)
            version = services.serving.version(house.guild.id)
            assert version == outcome.candidate
            await house.ask(house.ann, QUESTION)
            newest = (await answers_of(services.ledger, house.guild.id))[0]
            assert newest.adapter_version == version
            assert version in await services.engine.models()

            await until(lambda: any(message.embeds for message in house.last(house.office)))
            report = next(message for message in house.last(house.office) if message.embeds)
            assert report.embeds[0].fields
            assert report.attachments[0].filename == "loss_curve.png"
            assert report.components

            shown = await house.boss.slash(house.general, "adapter list")
            assert short(str(version)) in text_of(shown)
            back = await house.boss.slash(house.general, "adapter rollback")
            assert "bare base" in text_of(back)
            await until(lambda: services.serving.version(house.guild.id) is None)


async def test_without_discords_permission_nothing_that_came_through_it_is_trained_on(
    config_file: Path, clock: FakeClock
) -> None:
    settings = load_settings(config_file)
    async with open_services(settings, config=config_file, clock=clock) as services:
        bot = NightschoolBot(services)
        async with connected(bot) as env:
            house = _furnished(env, bot, services)
            await services.ledger.guilds.ensure(house.guild.id, house.guild.name)
            await a_fortnight(house)
            outcome = await the_night(services, clock, house.guild.id)
    assert outcome.stage == "skipped"
    assert "polic" in json.dumps([*outcome.reasons, outcome.counts])
    assert jsonl(services) == []
