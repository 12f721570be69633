"""Exports with invented text, built the way the tools that write them do."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.store import Ledger

BASIS = "the club's archive, by vote of its members"
GUILD = 700_000_000_000_000_001
CHANNEL = 700_000_000_000_000_002
ADA, BO, BEEP = 800_000_000_000_000_001, 800_000_000_000_000_002, 800_000_000_000_000_003
NAMES = {ADA: "Ada", BO: "Bo", BEEP: "beep"}
FIRST = 900_000_000_000_000_000


class Exports:
    """Writes exports into a folder."""

    guild, channel, ada, bo, beep, first = GUILD, CHANNEL, ADA, BO, BEEP, FIRST

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def message(self, number: int, author: int, content: str, **fields: Any) -> dict[str, Any]:
        """Return one message as DiscordChatExporter writes it; a field set to None stays away."""
        raw: dict[str, Any] = {
            "id": str(FIRST + number),
            "type": "Default",
            "timestamp": f"2024-05-01T10:{number // 60:02d}:{number % 60:02d}.000+00:00",
            "timestampEdited": None,
            "isPinned": False,
            "content": content,
            "author": {
                "id": str(author),
                "name": NAMES.get(author, "someone").lower(),
                "discriminator": "0000",
                "nickname": NAMES.get(author, "someone"),
                "isBot": author == BEEP,
                "roles": [],
            },
            "attachments": [],
            "reactions": [],
            "mentions": [],
        }
        return raw | fields

    def chat(self, messages: list[dict[str, Any]], **head: Any) -> dict[str, Any]:
        return {
            "guild": {"id": str(GUILD), "name": "Moss Club", "iconUrl": ""},
            "channel": {"id": str(CHANNEL), "type": "GuildTextChat", "name": "pond", "topic": None},
            "dateRange": {"after": None, "before": None},
            "exportedAt": "2024-06-01T00:00:00+00:00",
            **head,
            "messages": messages,
            "messageCount": len(messages),
        }

    def write(self, name: str, content: object) -> Path:
        """Write a file: bytes as they are, a text as UTF-8, anything else as JSON; ``.gz`` packed."""
        if isinstance(content, bytes):
            data = content
        else:
            text = content if isinstance(content, str) else json.dumps(content, indent=2)
            data = text.encode()
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") and data[:2] != b"\x1f\x8b" else data)
        return path

    def package(self, name: str, files: dict[str, object]) -> Path:
        """Write a zip; texts as they are, anything else as JSON."""
        path = self.folder / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
            for inside, content in files.items():
                package.writestr(inside, content if isinstance(content, str) else json.dumps(content))
        return path


def talk(exports: Exports, count: int = 6) -> dict[str, Any]:
    """Return an export in which Ada and Bo take turns."""
    people = (exports.ada, exports.bo)
    return exports.chat([exports.message(n, people[n % 2], f"moss fact {n}") for n in range(count)])


@pytest.fixture
def exports(tmp_path: Path) -> Exports:
    folder = tmp_path / "exports"
    folder.mkdir()
    return Exports(folder)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with Ledger.open(tmp_path / "data" / "ledger.db") as opened:
        yield opened


@pytest.fixture
def on_disk(tmp_path: Path) -> Callable[[str], bool]:
    """Tell whether a text stands anywhere in the ledger's files."""

    def found(text: str) -> bool:
        return any(text.encode() in file.read_bytes() for file in (tmp_path / "data").iterdir())

    return found
