"""The sample server: fourteen days of Lantern Yard, as exports that ``import`` reads.

Three files, one per channel, in DiscordChatExporter's format, written for this project. Their source is
``screenplay.txt``, from which ``python -m bot.demo.sample.build`` writes them again. Nobody in it exists.
This file only reads them: it knows nothing of Discord or of the ledger.

- build: writes the exports from the screenplay
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
OWNER = "Mira"


@dataclass(frozen=True, slots=True)
class DemoQuestion:
    """A question that the sample server answers over and over."""

    text: str
    asker: str
    channel: str
    answer: str
    """What any member of Lantern Yard would say."""
    keywords: tuple[str, ...]
    """Words of a learned answer, in lower case; one of them is enough."""


DEMO_QUESTIONS = (
    DemoQuestion("what's for dinner tonight?", "Tamsin", "kitchen-table", "soup.", ("soup",)),
    DemoQuestion(
        "where is the key to the shed?", "Rowan", "workshop", "under the ceramic frog", ("ceramic", "frog")
    ),
    DemoQuestion(
        "the coffee machine does nothing, what should I do?",
        "Tamsin",
        "kitchen-table",
        "Gregor is broken, kick him twice on the left",
        ("gregor", "twice", "kick"),
    ),
)


def export_paths() -> list[Path]:
    """Return the export files, in the channels' order."""
    return sorted(FOLDER.glob("*.json"))


def load_exports() -> list[dict[str, Any]]:
    """Return the parsed exports, in the channels' order."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in export_paths()]
