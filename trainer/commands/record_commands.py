"""The commands that read and write the record: exports in and out, versions, nights.

None of them loads a model library, but for ``promote``, which checks the version against its base model.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from ledger.process.extras import require
from ledger.settings import Settings
from trainer.commands import lines
from trainer.commands.console import finish, ledger_of


def import_command(settings: Settings, options: argparse.Namespace) -> int:
    from trainer.importing import import_paths

    async def work() -> Any:
        async with ledger_of(settings, options) as ledger:
            return await import_paths(
                ledger,
                options.paths,
                basis=options.basis,
                guild_id=options.guild,
                handed_in_by=options.handed_in_by,
                channels=None if options.channels is None else frozenset(options.channels),
            )

    report = asyncio.run(work())
    return finish(options, report.as_json(), report.lines(), report.exit_code)


def export_command(settings: Settings, options: argparse.Namespace) -> int:
    from trainer.export import export_dataset

    written = export_dataset(options.dataset, options.out, form=options.form)
    told = [f"Wrote {options.out}.", *(f"  {part}: {count:,} examples" for part, count in written.items())]
    return finish(options, {"out": str(options.out), "form": options.form, "examples": written}, told)


def adapters_command(settings: Settings, options: argparse.Namespace) -> int:
    async def work() -> Any:
        async with ledger_of(settings, options) as ledger:
            return await ledger.adapters.of_guild(await ledger.guilds.the_only(options.guild))

    versions = asyncio.run(work())
    return finish(
        options, {"adapters": [lines.adapter_fields(v) for v in versions]}, lines.adapters(versions)
    )


def promote_command(settings: Settings, options: argparse.Namespace) -> int:
    require("engine")  # the files' base is compared with the model's own
    from engine.model.adapter_files import verify
    from engine.model.loading import base_fingerprint

    async def work() -> Any:
        async with ledger_of(settings, options) as ledger:
            guild = await ledger.guilds.the_only(options.guild)
            adapter = await ledger.adapters.require(guild, options.version)
            verify(
                Path(adapter.path),
                base_fingerprint=base_fingerprint(settings.base_model(), settings.model.revision),
            )
            return await ledger.promotions.promote(guild, options.version, by="command line")

    adapter = asyncio.run(work())
    return finish(
        options, {"champion": adapter.version}, [f"{adapter.version} serves from the next request on."]
    )


def rollback_command(settings: Settings, options: argparse.Namespace) -> int:
    async def work() -> Any:
        async with ledger_of(settings, options) as ledger:
            guild = await ledger.guilds.the_only(options.guild)
            return await ledger.promotions.rollback(guild, by="command line")

    adapter = asyncio.run(work())
    version = adapter.version if adapter else None
    return finish(
        options,
        {"champion": version},
        [f"{version or 'The bare base model'} serves from the next request on."],
    )


def runs_command(settings: Settings, options: argparse.Namespace) -> int:
    async def work() -> Any:
        async with ledger_of(settings, options) as ledger:
            guild = await ledger.guilds.the_only(options.guild)
            return await ledger.runs.of_guild(guild, limit=options.limit)

    runs = asyncio.run(work())
    return finish(options, {"runs": [lines.run_fields(run) for run in runs]}, lines.runs(runs))


def quarantine_command(settings: Settings, options: argparse.Namespace) -> int:
    async def work() -> Any:
        async with ledger_of(settings, options) as ledger:
            guild = await ledger.guilds.the_only(options.guild)
            if options.action == "allow":
                await ledger.quarantine.allow(guild, options.member, by="command line")
            return list((await ledger.quarantine.in_force(guild)).values())

    held = asyncio.run(work())
    told = [f"Nights learn from {options.member} again."] if options.action == "allow" else lines.held(held)
    return finish(options, {"quarantine": [lines.held_fields(each) for each in held]}, told)


def report_command(settings: Settings, options: argparse.Namespace) -> int:
    async def work() -> Any:
        async with ledger_of(settings, options) as ledger:
            run = await ledger.runs.require(options.run)
            adapter = await ledger.adapters.get(run.guild_id, run.candidate) if run.candidate else None
            return run, adapter, await ledger.runs.steps(run.id)

    run, adapter, steps = asyncio.run(work())
    page = Path(adapter.path) / "report.md" if adapter else None
    text = page.read_text(encoding="utf-8") if page and page.is_file() else ""
    told = [text.rstrip()] if text else lines.one_run(run, steps)
    return finish(options, {**lines.run_fields(run), "report": str(page) if text else None}, told)
