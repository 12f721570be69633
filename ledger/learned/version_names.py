"""Names of adapter versions, and so of their folders: the only place that knows their form."""

from __future__ import annotations

import re
from pathlib import Path

from ledger.clock import from_ms
from ledger.errors import AdapterError

VERSION = re.compile(r"g(?P<guild>\d+)-v(?P<number>\d{6,})")
FOLDER_SQL = ":dir || '/' || guild_id || '/' || version"
"""The same as :func:`version_folder`, in SQL."""


def version_name(guild_id: int, number: int) -> str:
    """Return the version's name; fixed width, so that no name is ever a prefix of another."""
    return f"g{guild_id}-v{number:06d}"


def owner_of(version: str) -> int:
    """Return the guild that a version belongs to.

    Raises:
        AdapterError: ``version`` is no version's name.
    """
    return int(_parsed(version)["guild"])


def version_folder(adapters_dir: Path | str, version: str) -> Path:
    """Return where a version's files are, below the folder of its guild.

    Raises:
        AdapterError: ``version`` is no version's name.
    """
    return Path(adapters_dir) / _parsed(version)["guild"] / version


def _parsed(version: str) -> re.Match[str]:
    found = VERSION.fullmatch(version)
    if found is None:
        raise AdapterError(f"{version!r} is no version's name, such as {version_name(7, 1)}.")
    return found


def short_name(version: str, made_at: int | None) -> str:
    """Return a version as people read it, "v2, 4 January"; ``made_at`` in milliseconds, if it is known."""
    found = VERSION.fullmatch(version)
    if found is None:
        return version
    number = f"v{int(found['number'])}"
    return number if made_at is None else f"{number}, {from_ms(made_at):%-d %B}"
