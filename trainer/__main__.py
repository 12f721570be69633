"""``python -m trainer``: nights, their stages, and the record of what was learned.

Parses the command line and ends with an exit code: 0 done, 1 refused or failed, 2 usage, 78
configuration. Everything heavy is loaded after that, by :mod:`trainer.commands.handlers`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from ledger.process.seclusion import WordlessFormatter, seclude
from ledger.process.terminal import Parser, ended, run_command

FORMS = ("alpaca", "sharegpt", "chatml")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = parser().parse_args(arguments)
    seclude()
    # The handler's own level: the trainer's logger is lowered while a training.log is written.
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(WordlessFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler])
    # Waiting threads that spin take the cores from the engine on the same machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from trainer.commands.handlers import handle

    # A night's outcome has a stage, like every other end of one.
    facts = {"stage": "failed", "guild": options.guild} if options.command == "night" else {}
    for_scripts = options.json or getattr(options, "progress", False)
    return run_command(lambda: handle(options), name="trainer", for_scripts=for_scripts, facts=facts)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = Parser(
        prog="python -m trainer",
        description="Train tonight's adapter from what members agreed to, and serve it only if it is better.",
    )
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_nights(commands)
    _add_stages(commands)
    _add_record(commands)
    return made


def _command(commands: argparse._SubParsersAction[Parser], name: str, told: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=told, description=told[0].upper() + told[1:] + ".")
    command.add_argument(
        "--config", type=Path, default=Path("config.toml"), help="settings (default: config.toml)"
    )
    command.add_argument("--json", action="store_true", help="one JSON object on the last line of stdout")
    return command


def _guild(command: argparse.ArgumentParser) -> None:
    command.add_argument("--guild", type=_number, help="server id; needed when the ledger knows several")


def _progress(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--progress", action="store_true", help="JSON lines on stdout, for a program that watches"
    )


def _add_nights(commands: argparse._SubParsersAction[Parser]) -> None:
    night = _command(commands, "night", "run a whole night, exactly what the schedule runs")
    _guild(night)
    _progress(night)
    night.add_argument("--trigger", default="command line", help="who started it, for the record")
    night.add_argument("--now", type=_moment, help="the time to start from, ISO 8601 (default: the clock's)")
    night.add_argument("--samples", type=int, default=12, help="replies to sample from each model")


def _add_stages(commands: argparse._SubParsersAction[Parser]) -> None:
    importing = _command(commands, "import", "take exports into the ledger; a second time adds nothing")
    importing.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="file or folder of exports")
    importing.add_argument(
        "--basis", default="", help="your right to use it; without one, only members who opted in"
    )
    importing.add_argument(
        "--handed-in-by",
        type=_number,
        metavar="USER",
        help="the member who gave their own data package; the bot says so, an operator gives a basis",
    )
    importing.add_argument(
        "--channels", type=_numbers, metavar="ID,ID…", help="take these channels and their threads alone"
    )
    _guild(importing)
    prepare = _command(commands, "prepare", "write a dataset from the ledger")
    _guild(prepare)
    prepare.add_argument("--out", type=Path, help="folder to write (default: below data/datasets)")
    fit = _command(commands, "fit", "train an adapter on a dataset")
    fit.add_argument("dataset", type=Path, help="folder that `prepare` wrote")
    fit.add_argument("--out", type=Path, help="adapter folder to write (default: below models/runs)")
    fit.add_argument("--start", help="adapter folder or version to go on from (default: the base)")
    _progress(fit)
    evaluate = _command(commands, "evaluate", "score an adapter and the bare base on a dataset's test part")
    evaluate.add_argument("adapter", help="adapter folder, or a version's name")
    evaluate.add_argument("dataset", type=Path, help="folder that `prepare` wrote")
    evaluate.add_argument("--champion", help="adapter folder or version to compare with")
    evaluate.add_argument("--samples", type=int, default=12, help="replies to sample from each model")
    _progress(evaluate)
    export = _command(commands, "export", "write a dataset in the form of other trainers")
    export.add_argument("dataset", type=Path, help="folder that `prepare` wrote")
    export.add_argument("--form", choices=FORMS, default="chatml")
    export.add_argument("--out", type=Path, required=True, help="folder to write")


def _add_record(commands: argparse._SubParsersAction[Parser]) -> None:
    _guild(_command(commands, "adapters", "list adapter versions"))
    promote = _command(commands, "promote", "let an adapter version serve")
    promote.add_argument("version")
    _guild(promote)
    _guild(_command(commands, "rollback", "return to what the champion replaced"))
    runs = _command(commands, "runs", "list nights")
    _guild(runs)
    runs.add_argument("--limit", type=int, default=20)
    held = commands.add_parser("quarantine", help="whose words nights leave out, and let somebody in")
    actions = held.add_subparsers(dest="action", metavar="ACTION", required=True)
    _guild(_command(actions, "list", "list whose words nights leave out, since when and why"))
    allow = _command(actions, "allow", "learn from somebody again, what they wrote meanwhile included")
    allow.add_argument("member", type=_number, help="number of the account")
    _guild(allow)
    report = _command(commands, "report", "show a night's report")
    report.add_argument("run")


def _number(text: str) -> int:
    """Read one of the numbers that Discord gives to servers, channels and accounts."""
    if text.isascii() and text.isdecimal() and 0 < (number := int(text[:20])) < 2**63:
        return number
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number that Discord gives")


def _numbers(text: str) -> list[int]:
    return [_number(part) for part in text.split(",") if part]


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(ended(main))
