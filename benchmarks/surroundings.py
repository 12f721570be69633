"""Where a benchmark ran: what stands beside every figure on a results page."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def surroundings(packages: Iterable[str]) -> dict[str, Any]:
    """Return date, hardware, versions of Python, SQLite and ``packages``, and the machine's load by now."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "versions": versions(packages),
        "load": load(),
    }


def load() -> float:
    """Return how many processes wanted to run on average during the last minute."""
    return round(os.getloadavg()[0], 1)


def hardware() -> str:
    """Return the processor's name and how many cores there are."""
    return f"{processor()}, {os.cpu_count()} cores"


def processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    return processor_facts().get("model name") or platform.processor() or platform.machine()


def processor_facts() -> dict[str, str]:
    """Return what Linux says of the last core, flags included; nothing elsewhere."""
    lines: list[str] = []
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, SQLite and ``packages``."""
    found = {name: version(name) for name in packages}
    return {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, **found}


def headline(about: dict[str, Any]) -> str:
    """Return one line of what :func:`surroundings` found, for above a table."""
    used = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return f"{about['date']}, {about['hardware']}, load before {about['load']}; {used}"


def publish(result: dict[str, Any], page: str, file: Path | None) -> None:
    """Print a page, and write the figures behind it to a file if one is asked for."""
    print(page)
    if file:
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def table(columns: list[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table: names at the left, figures at the right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
