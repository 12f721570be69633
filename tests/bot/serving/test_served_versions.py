"""Which version answers: swaps under load, refusals, restarts of the engine, and the way back to the base."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from bot.serving.engine_client import BASE, Address, AnswerSampling, EngineClient
from bot.serving.served_versions import ServedVersions
from ledger.forgetting.deletion_path import Forgetting
from ledger.store import Ledger
from ledger.talk.prompts import Turn
from tests.bot.house import BASE as BASE_NAME
from tests.bot.house import RealEngine, StandInEngine, until
from tests.conftest import FakeClock

GUILD, OTHER = 7, 8
SAMPLING = AnswerSampling(max_tokens=8, temperature=0.0, top_p=1.0)


@asynccontextmanager
async def client_of(url: str, key: str = "", base: str = BASE_NAME) -> AsyncIterator[EngineClient]:
    async with aiohttp.ClientSession() as session:
        yield EngineClient(session, lambda: Address(url, key, base))


async def version(ledger: Ledger, guild: int = GUILD, *, path: str = "models", promote: bool = True) -> str:
    """Record a version, let it serve if wanted, and return its name."""
    await ledger.guilds.ensure(guild, "a server")
    run = await ledger.runs.create(guild, "test")
    adapter = await ledger.adapters.reserve(guild, run.id, adapters_dir=path, base_model=BASE_NAME)
    if promote:
        await ledger.promotions.promote(guild, adapter.version, by="test")
    return adapter.version


@pytest.fixture
async def serving(ledger: Ledger, engine: StandInEngine) -> AsyncIterator[ServedVersions]:
    async with client_of(engine.url) as client, ServedVersions(ledger, client) as opened:
        yield opened


async def test_without_a_champion_the_bare_base_answers(serving: ServedVersions) -> None:
    await serving.sync()
    async with serving.lease(GUILD) as (model, adapter):
        assert (model, adapter) == (BASE, None)
    async with serving.lease(None) as (model, adapter):
        assert (model, adapter) == (BASE, None)


async def test_each_guild_is_served_by_its_own_champion(
    ledger: Ledger, engine: StandInEngine, serving: ServedVersions
) -> None:
    one, two = await version(ledger), await version(ledger, OTHER)
    await serving.sync()
    assert (serving.version(GUILD), serving.version(OTHER), serving.version(None)) == (one, two, None)
    assert engine.loaded == {one, two}


async def test_a_swap_lets_the_old_version_end_its_answers_and_unloads_it_then(
    ledger: Ledger, engine: StandInEngine, serving: ServedVersions
) -> None:
    old = await version(ledger)
    await serving.sync()
    async with serving.lease(GUILD) as (model, _):
        new = await version(ledger)
        await serving.sync()
        assert (model, serving.version(GUILD)) == (old, new)
        assert engine.loaded == {old, new}
        async with serving.lease(GUILD) as (newer, _):
            assert newer == new
    await until(lambda: engine.loaded == {new})
    assert engine.calls == [f"load {old}", f"load {new}", f"unload {old}"]


async def test_a_version_that_comes_back_while_it_drains_is_kept(
    ledger: Ledger, engine: StandInEngine, serving: ServedVersions
) -> None:
    old = await version(ledger)
    await serving.sync()
    async with serving.lease(GUILD):
        new = await version(ledger)
        await serving.sync()
        await ledger.promotions.rollback(GUILD, by="test")
        await serving.sync()
        assert serving.version(GUILD) == old
    await until(lambda: engine.loaded == {old})
    await serving.sync()
    assert engine.loaded == {old}
    assert new not in engine.loaded


async def test_a_version_that_the_engine_refuses_stays_out_and_the_old_one_keeps_serving(
    ledger: Ledger, engine: StandInEngine, serving: ServedVersions
) -> None:
    old = await version(ledger)
    await serving.sync()
    new = await version(ledger, promote=False)
    engine.refused[new] = "wrong hash"
    await ledger.promotions.promote(GUILD, new, by="test")
    await serving.sync()
    await serving.sync()
    assert serving.version(GUILD) == old
    assert "wrong hash" in str(serving.refusal(new))
    assert engine.calls.count(f"load {new}") == 1
    assert engine.loaded == {old}


async def test_a_refused_version_gets_another_chance_when_asked_for(
    ledger: Ledger, engine: StandInEngine, serving: ServedVersions
) -> None:
    new = await version(ledger, promote=False)
    engine.refused[new] = "wrong hash"
    await ledger.promotions.promote(GUILD, new, by="test")
    await serving.sync()
    del engine.refused[new]
    serving.retry(new)
    await serving.sync()
    assert serving.version(GUILD) == new
    assert serving.refusal(new) is None


async def test_a_rollback_to_the_base_unloads_the_version(
    ledger: Ledger, engine: StandInEngine, serving: ServedVersions
) -> None:
    await version(ledger)
    await serving.sync()
    await ledger.promotions.rollback(GUILD, by="test")
    await serving.sync()
    assert serving.version(GUILD) is None
    assert engine.loaded == set()


async def test_a_champion_that_another_process_chose_is_followed(
    ledger: Ledger, engine: StandInEngine, clock: FakeClock
) -> None:
    async with client_of(engine.url) as client, ServedVersions(ledger, client, poll_seconds=0.01) as serving:
        await serving.sync()
        async with Ledger.open(ledger.path, clock=clock) as elsewhere:
            new = await version(elsewhere)
        await until(lambda: serving.version(GUILD) == new)
        assert engine.loaded == {new}


async def test_an_engine_that_was_restarted_gets_its_versions_again(
    ledger: Ledger, engine: StandInEngine
) -> None:
    generation = 1
    async with (
        client_of(engine.url) as client,
        ServedVersions(ledger, client, generation=lambda: generation) as serving,
    ):
        new = await version(ledger)
        await serving.sync()
        engine.loaded.clear()
        generation = 2
        await serving.sync()
        assert engine.loaded == {new}
        assert serving.version(GUILD) == new


async def test_nothing_is_loaded_while_the_engine_starts(ledger: Ledger, engine: StandInEngine) -> None:
    generation = 0
    async with (
        client_of(engine.url) as client,
        ServedVersions(ledger, client, generation=lambda: generation) as serving,
    ):
        new = await version(ledger)
        await serving.sync()
        assert engine.calls == []
        generation = 1
        await serving.sync()
        assert engine.loaded == {new}


async def test_an_engine_that_is_away_is_tried_again(ledger: Ledger, engine: StandInEngine) -> None:
    url = "http://127.0.0.1:9"
    async with aiohttp.ClientSession() as session:
        client = EngineClient(session, lambda: Address(url, ""))
        async with ServedVersions(ledger, client, poll_seconds=0.01) as serving:
            new = await version(ledger)
            await serving.sync()
            assert serving.version(GUILD) is None
            assert serving.refusal(new) is None
            url = engine.url
            await until(lambda: serving.version(GUILD) == new)


async def test_a_database_that_cannot_be_read_for_a_moment_does_not_end_the_following(
    ledger: Ledger, engine: StandInEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(engine.url) as client, ServedVersions(ledger, client, poll_seconds=0.01) as serving:
        await ledger.writer.execute("ALTER TABLE adapters RENAME TO away")
        await asyncio.wait_for(serving.sync(), 5)
        await ledger.writer.execute("ALTER TABLE away RENAME TO adapters")
        new = await version(ledger)
        await asyncio.wait_for(serving.sync(), 5)
        assert serving.version(GUILD) == new


def _latest_by(answers: list[tuple[str, str]], version: str) -> bool:
    """Tell whether the version wrote one of the latest answers."""
    return version in [model for model, _ in answers[-3:]]


async def test_twenty_swaps_under_load_fail_no_request_and_leave_one_version(
    ledger: Ledger, real_engine: RealEngine
) -> None:
    versions = []
    for number in range(4):
        name = await version(ledger, path=str(real_engine.adapters), promote=False)
        real_engine.make_adapter(name, seed=number)
        versions.append(name)
    before = await real_engine.loaded()
    async with (
        client_of(real_engine.url, real_engine.token, BASE) as client,
        ServedVersions(ledger, client, poll_seconds=0.05) as serving,
    ):
        answers: list[tuple[str, str]] = []
        stopped = asyncio.Event()

        def answered_by(version: str) -> bool:
            return version in [model for model, _ in answers[-3:]]

        async def ask() -> None:
            turns: list[Turn] = [{"role": "user", "content": "ann: did anyone feed the sourdough?"}]
            while not stopped.is_set():
                async with serving.lease(GUILD) as (model, _):
                    pieces = [p.text async for p in client.stream(model, turns, SAMPLING, guild_id=GUILD)]
                answers.append((model, "".join(pieces)))

        asking = [asyncio.create_task(ask()) for _ in range(3)]
        for number in range(20):
            await ledger.promotions.promote(GUILD, versions[number % 4], by="test")
            await serving.sync()
            assert serving.version(GUILD) == versions[number % 4]
            await until(partial(_latest_by, answers, versions[number % 4]))
        stopped.set()
        await asyncio.gather(*asking)  # raises what any request failed with
        await serving.sync()
        assert await real_engine.loaded() == before | {versions[3]}
        await ledger.promotions.serve_base(GUILD, by="test")
        await serving.sync()
        assert await real_engine.loaded() == before
    assert {model for model, _ in answers} >= set(versions)
    # One version, one answer: none was given by another's weights in the middle of a swap.
    for name in versions:
        assert len({text for model, text in answers if model == name}) == 1


async def test_the_real_engine_refuses_an_altered_version_and_the_old_one_serves(
    ledger: Ledger, real_engine: RealEngine
) -> None:
    old = await version(ledger, OTHER, path=str(real_engine.adapters))
    real_engine.make_adapter(old, seed=1)
    new = await version(ledger, OTHER, path=str(real_engine.adapters), promote=False)
    folder = real_engine.make_adapter(new, seed=2)
    async with (
        client_of(real_engine.url, real_engine.token, BASE) as client,
        ServedVersions(ledger, client) as serving,
    ):
        await serving.sync()
        weights = folder / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        await ledger.promotions.promote(OTHER, new, by="test")
        await serving.sync()
        assert serving.version(OTHER) == old
        assert "altered" in str(serving.refusal(new))
        await ledger.promotions.serve_base(OTHER, by="test")
        await serving.sync()


async def test_what_had_to_go_answers_no_longer_though_the_engine_refuses_what_should_serve_instead(
    ledger: Ledger, engine: StandInEngine, serving: ServedVersions, tmp_path: Path, clock: FakeClock
) -> None:
    clean, tainted = await version(ledger), await version(ledger)
    await ledger.runs.learned_from((await ledger.adapters.require(GUILD, tainted)).run_id, [(1, 70)])
    await serving.sync()
    engine.refused[clean] = "was made for another base model"
    forgetting = Forgetting(ledger, datasets_dir=tmp_path / "d", runs_dir=tmp_path / "r")
    await forgetting.person(GUILD, 70, asked_by="member")
    await serving.sync()
    assert serving.version(GUILD) == tainted, "it may serve until its date"
    clock.advance(days=30)
    await forgetting.sweep()
    await serving.sync()
    assert serving.version(GUILD) is None
    assert engine.loaded == set()


async def test_an_engine_that_was_there_before_drops_what_this_bot_did_not_load(
    ledger: Ledger, engine: StandInEngine
) -> None:
    old, new = await version(ledger), await version(ledger)
    engine.loaded |= {old, new, "g99-v000001", "somebody-elses"}
    async with client_of(engine.url) as client, ServedVersions(ledger, client) as serving:
        await serving.sync()
        assert serving.version(GUILD) == new
    assert engine.loaded == {new, "g99-v000001", "somebody-elses"}
    assert engine.calls.index(f"unload {new}") < engine.calls.index(f"load {new}")
