"""``python -m bot``: run the bot, try it without Discord, or find out what is missing.

Heavy imports wait until the command is known, so that ``--help`` is instant.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

from ledger.process.seclusion import WordlessFormatter, seclude
from ledger.process.terminal import Parser, ended, run_command

LAST_PORT = 65_535


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 refused or failed, 2 usage, 78 configuration."""
    options = _parser().parse_args(arguments)
    seclude()
    _log_to_stderr(verbose=options.verbose)
    is_once = getattr(options, "once", False)

    def work() -> int:
        outcome = asyncio.run(_COMMANDS[options.command](options))
        if options.json or is_once:
            print(json.dumps(outcome, ensure_ascii=False))
        return 0 if outcome.get("ok", True) else 1

    until_stopped = options.command in {"run", "demo"} and not is_once
    return run_command(work, for_scripts=options.json, until_stopped=until_stopped)


def _parser() -> argparse.ArgumentParser:
    common = Parser(add_help=False)
    common.add_argument("--config", type=Path, default=Path("config.toml"), help="settings file")
    common.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    common.add_argument("--verbose", action="store_true", help="log more")
    parser = Parser(prog="python -m bot", description="Nightschool's Discord side.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", parents=[common], help="connect to Discord and serve")
    commands.add_parser("check", parents=[common], help="tell what is missing; exit 1 when anything is")
    commands.add_parser(
        "policy", parents=[common], help="print the privacy page and answers for Discord's intent review"
    )
    backup = commands.add_parser("backup", parents=[common], help="copy the database into a folder")
    backup.add_argument("folder", type=Path)
    restore = commands.add_parser(
        "restore", parents=[common], help="put a backup in place, without what was deleted since"
    )
    restore.add_argument("file", type=Path)
    demo = commands.add_parser(
        "demo", parents=[common], help="the same bot on a local Discord in the browser"
    )
    demo.add_argument("--once", action="store_true", help="play a day and a night unattended")
    demo.add_argument(
        "--port", type=_port, default=8765, help="port of the page on localhost; 0: any free one"
    )
    demo.add_argument("--keep", type=Path, help="keep the demo's data in this folder")
    return parser


def _port(text: str) -> int:
    """Return a port's number."""
    if not text.isdecimal() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to {LAST_PORT}, not {text!r}")
    return int(text)


def _log_to_stderr(*, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    # Wordless: the text of a stranger's exception may quote a member's message.
    handler.setFormatter(WordlessFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
    # With --verbose these would log every event, job and statement.
    for noisy in ("discord", "apscheduler", "aiosqlite"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


async def _run(options: argparse.Namespace) -> dict[str, Any]:
    from bot.run import run
    from ledger.settings import Secrets, load_settings

    await run(load_settings(options.config), Secrets(), config=options.config)
    return {}


async def _check(options: argparse.Namespace) -> dict[str, Any]:
    from bot.hosting.check import check_everything
    from ledger.settings import Secrets, load_settings

    findings = await check_everything(load_settings(options.config), Secrets(), config=options.config)
    for number, finding in enumerate(findings, start=1):
        mark = "ok  " if finding.passed else "FAIL"
        print(f"{number}. {mark} {finding.name}: {finding.text}")
    return {
        "ok": all(finding.passed for finding in findings),
        "checks": [{"name": f.name, "passed": f.passed, "text": f.text} for f in findings],
    }


async def _policy(options: argparse.Namespace) -> dict[str, Any]:
    from bot.hosting.privacy_page import policy
    from ledger.settings import load_settings

    text = policy(load_settings(options.config))
    if not options.json:
        print(text)
    return {"text": text}


async def _backup(options: argparse.Namespace) -> dict[str, Any]:
    from ledger.errors import LedgerError
    from ledger.forgetting.backups import back_up
    from ledger.settings import load_settings
    from ledger.store import Ledger

    database = load_settings(options.config).database
    if not database.is_file():
        # Opening it would create an empty one, and nobody needs a backup of that.
        raise LedgerError(f"There is no database at {database} yet; look at --config and [paths] data.")
    async with Ledger.open(database) as ledger:
        path = await back_up(ledger, options.folder)
    print(f"Backed up to {path}.", file=sys.stderr)
    return {"path": str(path)}


async def _restore(options: argparse.Namespace) -> dict[str, Any]:
    from bot.run import only_bot
    from ledger.forgetting.backups import restore
    from ledger.forgetting.by_settings import forgetting_of
    from ledger.settings import load_settings

    settings = load_settings(options.config)
    with only_bot(settings):
        replayed = await restore(
            options.file,
            settings.database,
            adapters_dir=settings.adapters_dir,
            forgets=partial(forgetting_of, settings),
        )
    print(f"Restored {options.file}; {replayed} later deletion(s) were done again.", file=sys.stderr)
    return {"replayed": replayed}


async def _demo(options: argparse.Namespace) -> dict[str, Any]:
    from ledger.process.extras import require

    require("demo", "engine", "trainer")  # it plays a night, so it needs all that learns and speaks
    # discord.py warns about voice libraries and intents, which mean nothing to a local Discord.
    logging.getLogger("discord").setLevel(logging.ERROR)
    from bot.demo.play import play

    return await play(options.config, once=options.once, port=options.port, keep=options.keep)


_COMMANDS = {
    "run": _run,
    "check": _check,
    "demo": _demo,
    "policy": _policy,
    "backup": _backup,
    "restore": _restore,
}

if __name__ == "__main__":
    sys.exit(ended(main))
