"""``python -m engine``: serve the base model and adapters, or fetch the small model.

Its border: it reads the settings, builds what the server needs, and ends it. Once it serves, it prints one
JSON line on stdout, ``{"ready": true, "url": …}``; everything else goes to stderr. It ends on SIGTERM, on
SIGINT, and with the process that started it. Heavy imports wait until the command is known, so that
``--help`` is instant.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
import secrets
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.errors import EngineError
from ledger.process.extras import require
from ledger.process.seclusion import WordlessFormatter, seclude
from ledger.process.terminal import Parser, ended, run_command

if TYPE_CHECKING:
    from ledger.settings import Settings

log = logging.getLogger("engine")

TOKEN = "NIGHTSCHOOL_ENGINE_TOKEN"  # noqa: S105 - the variable's name
_DRAIN_SECONDS = 8.0


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    options = _parser().parse_args(arguments)
    seclude()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(WordlessFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])

    def work() -> int:
        from ledger.settings import load_settings

        settings = load_settings(options.config)
        require("engine")
        return _fetch(settings, options.json) if options.command else _serve(settings, options)

    return run_command(work, name="engine", for_scripts=options.json, facts={"ready": False})


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m engine",
        description="Serve the base model and its adapters on 127.0.0.1, as OpenAI and vLLM do.",
        epilog=f"The token is taken from {TOKEN}; without it, one is made and shown.",
    )
    parser.add_argument("--port", type=_port, help="port on 127.0.0.1; 0: any free one (default: as set)")
    _common(parser)
    commands = parser.add_subparsers(dest="command", metavar="[fetch-small]")
    fetch = commands.add_parser("fetch-small", help="fetch SmolLM2-135M-Instruct into models/base, once")
    _common(fetch, default=argparse.SUPPRESS)
    return parser


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is no port: give a number from 0 to 65535")
    return int(text)


def _common(parser: argparse.ArgumentParser, default: object = None) -> None:
    config = default or Path("config.toml")
    parser.add_argument("--config", type=Path, default=config, help="settings (default: config.toml)")
    parser.add_argument(
        "--json", action="store_true", default=default or False, help="errors on stdout as JSON, too"
    )


def _fetch(settings: Settings, as_json: bool) -> int:
    from engine.model.small_model import fetch_small

    path = fetch_small(settings.models_dir)
    print(json.dumps({"path": str(path)}) if as_json else f"The small model is at {path}.")
    return 0


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    # Threads that spin while they wait take the cores from a training run beside them. On two cores, the
    # default slowed the engine from 21 to 5 tokens a second, and its neighbour to a sixth.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # They spin for 100 µs, between two products of a step, and sleep between steps: see computing.cores.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    from engine.parent import end_with_parent

    given = os.environ.pop(TOKEN, "")
    if given:
        end_with_parent()
    token = given or secrets.token_urlsafe(32)
    if not given:
        print(f"engine: the token is {token}", file=sys.stderr)
    port = settings.engine.port if options.port is None else options.port
    from engine.http.connections import HOST, bind

    # Before the model, which may take minutes to load.
    try:
        listener = bind(port)
    except OSError as error:
        raise EngineError(f"Port {port} on {HOST} cannot be used ({error.strerror}): set another.") from error
    with listener:
        return asyncio.run(_run(settings, token, listener))


async def _run(settings: Settings, token: str, listener: socket.socket) -> int:
    """Load the model, serve until a signal comes, and let running answers end."""
    from engine.building import build
    from engine.http.model_service import ModelService
    from engine.http.server import make_app, start

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    died: list[bool] = []

    def note_death() -> None:
        died.append(True)
        loop.call_soon_threadsafe(stop.set)

    generator, base = build(settings, on_death=note_death)
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    service = ModelService(generator, base, adapters_dir=settings.adapters_dir)
    runner, url = await start(make_app(service, token=token), listener)
    generator.start()
    print(json.dumps({"ready": True, "url": url}), flush=True)
    await stop.wait()
    log.info("stopping: no new requests, running answers have %.0f s to end", _DRAIN_SECONDS)
    await asyncio.to_thread(generator.close, _DRAIN_SECONDS)
    await runner.cleanup()
    service.close()
    return 1 if died else 0


if __name__ == "__main__":
    sys.exit(ended(main))
