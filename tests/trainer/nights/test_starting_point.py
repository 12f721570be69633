"""Nights add up, and forgetting still holds: what a fit starts from, with real nights of the tiny model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.model.adapter_files import read_manifest, write_manifest
from ledger.forgetting.by_settings import forgetting_of
from ledger.settings import Settings
from ledger.store import Ledger
from ledger.talk.prompts import FORM
from tests.conftest import FakeClock
from tests.trainer.conftest import GUILD, changed, fill, night
from trainer.builders import plan_of
from trainer.nights.starting_point import starting_point, starting_point_again


@pytest.fixture
def growing(quick: Settings) -> Settings:
    """Settings under which each night of the tiny model is promoted: any gain counts, nothing is a loss."""
    free = {"min_gain": 0.0, "max_old_loss": 100.0, "max_fault_rise": 1.0, "max_toxic_rise": 1.0}
    settings = changed(changed(quick, "verdict", **free), "leakage", probes=0)
    return changed(settings, "training", epochs=2)


async def nights(ledger: Ledger, settings: Settings, clock: FakeClock, count: int) -> list[str]:
    """Run some nights, a day apart, each with new talks; return the candidates."""
    found = []
    for number in range(count):
        await fill(ledger, 60 if not number else 20, first=0 if not number else 40 + 20 * number)
        outcome = await night(ledger, settings)
        assert outcome.candidate is not None, outcome.error
        if outcome.stage == "kept":  # what is learned is not the point here
            await ledger.promotions.promote(GUILD, outcome.candidate, by="test")
        found.append(outcome.candidate)
        clock.advance(days=1)
    return found


async def parents(ledger: Ledger, versions: list[str]) -> list[str | None]:
    return [(await ledger.adapters.require(GUILD, version)).parent for version in versions]


async def test_each_night_starts_from_the_version_that_serves(
    ledger: Ledger, growing: Settings, clock: FakeClock
) -> None:
    first, second, third = await nights(ledger, growing, clock, 3)
    assert await parents(ledger, [first, second, third]) == [None, first, second]
    adapter = await ledger.adapters.require(GUILD, second)
    manifest = json.loads((Path(adapter.path) / "manifest.json").read_text())
    assert manifest["parent"] == first
    weights = Path((await ledger.adapters.require(GUILD, first)).path) / "adapter_model.safetensors"
    from trainer.preparing.dataset_files import sha256

    assert manifest["started_from"] == sha256(weights)
    known = await ledger.lineage.targets_of(third)
    assert known > await ledger.lineage.targets_of(first)


async def test_a_version_of_another_form_of_prompts_is_not_gone_on_with(
    ledger: Ledger, growing: Settings, clock: FakeClock
) -> None:
    [first] = await nights(ledger, growing, clock, 1)
    found = await starting_point(ledger, plan_of(growing), GUILD)
    assert found.start.version == first
    folder = Path((await ledger.adapters.require(GUILD, first)).path)
    fields = read_manifest(folder).fields
    assert fields.pop("form") == FORM
    write_manifest(folder, **fields)
    found = await starting_point(ledger, plan_of(growing), GUILD)
    assert (found.start.version, found.path) == (None, None)


async def test_after_a_deletion_it_starts_from_the_newest_that_never_saw_it(
    ledger: Ledger, growing: Settings, clock: FakeClock
) -> None:
    first, second, third = await nights(ledger, growing, clock, 3)
    own = await ledger.lineage.targets_of(second) - await ledger.lineage.targets_of(first)
    forgetting = forgetting_of(growing, ledger)
    await forgetting.messages(GUILD, [max(own)], asked_by="test")
    clean = [adapter.version for adapter in await ledger.promotions.clean(GUILD)]
    assert (first in clean, second in clean, third in clean) == (True, False, False)
    found = await starting_point(ledger, plan_of(growing), GUILD)
    assert found.start.version == first
    assert set(found.start.in_use) == {first, third}  # what still serves must not have seen the exam either
    await fill(ledger, 20, first=120)
    outcome = await night(ledger, growing)
    assert await parents(ledger, [str(outcome.candidate)]) == [first]
    relearned = await ledger.runs.messages_of(outcome.run)
    assert relearned & own  # the days after it are learned again
    assert max(own) not in relearned


async def test_when_all_versions_saw_it_the_night_starts_from_the_base(
    ledger: Ledger, growing: Settings, clock: FakeClock
) -> None:
    first, _ = await nights(ledger, growing, clock, 2)
    own = await ledger.lineage.targets_of(first)
    await forgetting_of(growing, ledger).messages(GUILD, [max(own)], asked_by="test")
    found = await starting_point(ledger, plan_of(growing), GUILD)
    assert (found.start.version, found.path) == (None, None)


@pytest.mark.parametrize("of_the_first", [False, True], ids=["an older version is clean", "none is"])
async def test_a_champion_that_has_to_go_is_no_yardstick(
    ledger: Ledger, growing: Settings, clock: FakeClock, of_the_first: bool
) -> None:
    """Held against it, a night that begins at the base would lose every time, until only the base is left."""
    first, second = await nights(ledger, growing, clock, 2)
    own = await ledger.lineage.targets_of(first)
    if not of_the_first:
        own = await ledger.lineage.targets_of(second) - own
    await forgetting_of(growing, ledger).messages(GUILD, [max(own)], asked_by="test")
    await fill(ledger, 20, first=120)
    outcome = await night(ledger, growing)
    instead = "the bare base" if of_the_first else first
    [why] = [reason for reason in outcome.reasons if "has to go" in reason]
    assert why.startswith(second)
    assert why.endswith(f"without it: {instead}.")
    assert ("champion" in outcome.scores) == (not of_the_first)
    assert await parents(ledger, [str(outcome.candidate)]) == [None if of_the_first else first]


async def test_a_version_of_other_matrices_or_a_broken_one_is_passed_over(
    ledger: Ledger, growing: Settings, clock: FakeClock
) -> None:
    first, second = await nights(ledger, growing, clock, 2)
    other = changed(growing, "training", lora_r=2)
    assert (await starting_point(ledger, plan_of(other), GUILD)).start.version is None
    afresh = changed(growing, "training", start="base")
    assert (await starting_point(ledger, plan_of(afresh), GUILD)).start.version is None
    path = Path((await ledger.adapters.require(GUILD, second)).path)
    (path / "adapter_model.safetensors").write_bytes(b"torn")
    assert (await starting_point(ledger, plan_of(growing), GUILD)).start.version == first
    shutil.rmtree(path)
    assert (await starting_point_again(ledger, plan_of(growing), GUILD, first)).start.version == first
