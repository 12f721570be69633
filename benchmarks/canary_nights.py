"""The nights of bench_canaries.py: normal ones, with the settings that it needs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from canary_log import MEMBER
from ledger.forgetting.deletion_path import Forgetting
from ledger.forgetting.deletions import Deletion
from ledger.learned.version_names import version_folder
from ledger.people.quarantine import WORDS
from ledger.settings import Settings, load_settings
from ledger.store import Ledger

TOKENS_A_REPLY = 45
"""What a reply costs in a sequence in which each is learned once, its turn's marks included."""
BASIS = "benchmark"


def configured(root: Path, options: argparse.Namespace, *, scrub: bool, alone: bool = False) -> Settings:
    """Write the settings of config.cpu.toml, with fewer replies, under ``root`` and return them.

    ``alone`` switches the gate off, and has later nights read nothing again that an earlier one learned.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "config.toml").write_text(
        f"""
[model]
base = '{options.base.resolve()}'
device = "cpu"
[dataset]
first_night_tokens = {options.replies * TOKENS_A_REPLY}
max_heldout_replies = {options.heldout}
person_share = 1.0
{"replay_share = 0.0" if alone else ""}
[leakage]
{"probes = 0" if alone else ""}
[training]
epochs = {options.epochs}
learning_rate = {options.rate}
accumulation_steps = 1
[privacy]
scrub = {str(scrub).lower()}
"""
    )
    return load_settings(root / "config.toml")


async def let_in(settings: Settings) -> None:
    """Let the member in for whatever quarantine may find: nights would leave most of the secrets out."""
    async with Ledger.open(settings.database) as ledger:
        guild = await ledger.guilds.the_only(None)
        await ledger.quarantine.hold(guild, {MEMBER: tuple(WORDS)}, since=0, days=1)
        await ledger.quarantine.allow(guild, MEMBER, by="benchmark")


async def night(settings: Settings, *, serves: bool = False) -> dict[str, Any]:
    """Run the normal night of the only guild; return its outcome's figures.

    ``serves`` promotes the candidate whatever its verdict is.
    """
    from ledger.forgetting.by_settings import forgetting_of
    from trainer.builders import plan_of
    from trainer.nights.night import Night

    began = time.monotonic()
    async with Ledger.open(settings.database, scrubbing=settings.privacy.scrub) as ledger:
        guild = await ledger.guilds.the_only(None)
        outcome = await Night(
            ledger,
            plan_of(settings),
            guild,
            forgetting=forgetting_of(settings, ledger),
            trigger="benchmark",
            sampled_replies=1,
        ).run()
        if outcome.candidate is None or outcome.error:
            sys.exit(f"The night ended as {outcome.stage}: {outcome.error or list(outcome.reasons)}")
        if serves and outcome.stage == "kept":
            await ledger.promotions.promote(guild, outcome.candidate, by="benchmark")
            await forgetting_of(settings, ledger).sweep()
        lineage = await ledger.lineage.versions(outcome.candidate)
    return {
        "lineage": lineage,
        "stage": outcome.stage,
        "candidate": outcome.candidate,
        "adapter": str(version_folder(settings.adapters_dir, outcome.candidate)),
        "dataset": str(settings.datasets_dir / outcome.run),
        "reasons": list(outcome.reasons),
        "recitals": outcome.recitals,
        "train_replies": outcome.counts.get("train_replies"),
        "nll": {name: score["nll"] for name, score in outcome.scores.items()},
        "minutes": round((time.monotonic() - began) / 60, 1),
    }


async def take_in(settings: Settings, path: Path) -> None:
    from trainer.importing import import_paths

    async with Ledger.open(settings.database, scrubbing=settings.privacy.scrub) as ledger:
        await import_paths(ledger, [path], basis=BASIS)


async def forget(settings: Settings) -> Deletion:
    """Have the member forgotten who wrote the secrets."""
    async with Ledger.open(settings.database, scrubbing=settings.privacy.scrub) as ledger:
        guild = await ledger.guilds.the_only(None)
        forgetting = Forgetting(ledger, datasets_dir=settings.datasets_dir, runs_dir=settings.runs_dir)
        return await forgetting.person(guild, MEMBER, asked_by="benchmark")


def files_of(settings: Settings) -> Iterator[Path]:
    """Return every file that a night could have written a secret to."""
    for folder in (settings.data_dir, settings.models_dir):
        yield from (f for f in folder.rglob("*") if f.is_file() and f.name != "canaries.txt")
