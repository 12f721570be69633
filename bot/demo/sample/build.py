"""Write the sample server's exports from ``screenplay.txt``: ``python -m bot.demo.sample.build``.

The screenplay is made of scenes, in any order:

    @18 lounge 07:42        a scene: day of December 2025, channel, time of its first message
    Mira: text              somebody says something
    Otto> text              somebody replies to the line above; >> to the one before it, and so on
    +😂 Juni Dex            those people react to the line above

A name with an @ in front is a mention. The same screenplay always gives the same bytes: times and
ids follow from the lines alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.demo.sample import FOLDER

GUILD_NAME = "Lantern Yard"
DISCORD_EPOCH_MS = 1_420_070_400_000
FOUNDED = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
CHANNELS = {
    "lounge": "Everything that fits on a sofa",
    "kitchen-table": "Soup, Gregor, and who takes the last bread",
    "workshop": "Wood, paint, beeswax",
}
MEMBERS = {
    "Mira": "#e67e22",
    "Otto": "#a0826d",
    "Juni": "#e91e63",
    "Quill": "#7d6bb5",
    "Bas": "#2ecc71",
    "Tamsin": "#3498db",
    "Fennel": "#8e9aaf",
    "Dex": "#e74c3c",
    "Wanda": "#c27ba0",
    "Pip": "#f1c40f",
    "Rowan": "#1abc9c",
}
BOTS = {"Kettlebell": "#95a5a6"}
COLOURS = {**MEMBERS, **BOTS}

_SCENE = re.compile(r"@(\d\d) (\S+) (\d\d):(\d\d)$")
_LINE = re.compile(r"(\w+)(:|>+) (.+)$")
_REACTION = re.compile(r"\+(\S+) (.+)$")
_MENTION = re.compile(r"@(\w+)")


def snowflake(moment: datetime, sequence: int = 0) -> int:
    """Return an id as Discord would give it at ``moment``."""
    milliseconds = round(moment.timestamp() * 1000)
    return ((milliseconds - DISCORD_EPOCH_MS) << 22) | sequence


GUILD_ID = snowflake(FOUNDED)
CHANNEL_IDS = {name: snowflake(FOUNDED, number) for number, name in enumerate(CHANNELS, 1)}
USER_IDS = {name: snowflake(FOUNDED - timedelta(days=200), number) for number, name in enumerate(COLOURS, 1)}


@dataclass(slots=True)
class Line:
    """One message of the screenplay."""

    author: str
    text: str
    at: datetime
    reply_to: Line | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)
    id: int = 0


def pause(author: str, text: str) -> timedelta:
    """Return how long ``author`` takes before ``text``: reading, typing, and a whim of its own."""
    whim = int.from_bytes(hashlib.sha256(f"{author}|{text}".encode()).digest()[:2]) % 25_000
    return timedelta(milliseconds=6_000 + 350 * len(text.split()) + whim)


def read_screenplay(source: str) -> dict[str, list[Line]]:
    """Return each channel's lines in time order.

    Raises:
        ValueError: a line that is no scene, message or reaction, or that replies to nothing.
    """
    channels: dict[str, list[Line]] = {name: [] for name in CHANNELS}
    scene: list[Line] = []
    now = FOUNDED
    for number, raw in enumerate(source.splitlines(), 1):
        if not raw or raw.startswith("#"):
            continue
        if match := _SCENE.match(raw):
            day, channel, hour, minute = match.groups()
            now = datetime(2025, 12, int(day), int(hour), int(minute), tzinfo=UTC)
            scene = []
            lines = channels[channel]
        elif (match := _REACTION.match(raw)) and scene:
            scene[-1].reactions[match[1]] = match[2].split()
        elif match := _LINE.match(raw):
            author, mark, text = match.groups()
            now += pause(author, text)
            back = 0 if mark == ":" else len(mark)
            if back > len(scene) or author not in USER_IDS:
                raise ValueError(f"screenplay.txt:{number} replies to nothing, or is by nobody")
            line = Line(author, text, now, scene[-back] if back else None)
            scene.append(line)
            lines.append(line)
        else:
            raise ValueError(f"screenplay.txt:{number} is no scene, message or reaction")
    for lines in channels.values():
        lines.sort(key=lambda line: line.at)
    everything = [line for lines in channels.values() for line in lines]
    for sequence, line in enumerate(sorted(everything, key=lambda line: line.at)):
        line.id = snowflake(line.at, sequence)
    return channels


def person(name: str) -> dict[str, Any]:
    return {
        "id": str(USER_IDS[name]),
        "name": name,
        "discriminator": "0000",
        "nickname": name,
        "color": COLOURS[name],
        "isBot": name in BOTS,
        "roles": [],
        "avatarUrl": "",
    }


def message(line: Line, channel: str) -> dict[str, Any]:
    exported: dict[str, Any] = {
        "id": str(line.id),
        "type": "Reply" if line.reply_to else "Default",
        "timestamp": line.at.isoformat(timespec="milliseconds"),
        "timestampEdited": None,
        "callEndedTimestamp": None,
        "isPinned": False,
        "content": line.text,
        "author": person(line.author),
        "attachments": [],
        "embeds": [],
        "stickers": [],
        "reactions": [
            {
                "emoji": {"id": "", "name": emoji, "code": "", "isAnimated": False, "imageUrl": ""},
                "count": len(people),
                "users": [person(name) for name in people],
            }
            for emoji, people in line.reactions.items()
        ],
        "mentions": [person(name) for name in _MENTION.findall(line.text) if name in USER_IDS],
        "inlineEmojis": [],
    }
    if line.reply_to:
        exported["reference"] = {
            "messageId": str(line.reply_to.id),
            "channelId": str(CHANNEL_IDS[channel]),
            "guildId": str(GUILD_ID),
        }
    return exported


def export(channel: str, lines: list[Line]) -> dict[str, Any]:
    """Return one channel in the shape that DiscordChatExporter writes."""
    return {
        "guild": {"id": str(GUILD_ID), "name": GUILD_NAME, "iconUrl": ""},
        "channel": {
            "id": str(CHANNEL_IDS[channel]),
            "type": "GuildTextChat",
            "categoryId": "0",
            "category": "Yard",
            "name": channel,
            "topic": CHANNELS[channel],
        },
        "dateRange": {"after": None, "before": None},
        "exportedAt": "2026-01-01T00:00:00.000+00:00",
        "messages": [message(line, channel) for line in lines],
        "messageCount": len(lines),
    }


def render(exported: dict[str, Any]) -> str:
    """Return the JSON text, one message a line, so that a change of the sample can be read."""
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in exported["messages"])
    head = json.dumps({**exported, "messages": []}, ensure_ascii=False, indent=1)
    return head.replace('"messages": []', f'"messages": [\n{rows}\n ]') + "\n"


def main(folder: Path = FOLDER) -> None:
    screenplay = read_screenplay((FOLDER / "screenplay.txt").read_text(encoding="utf-8"))
    for number, (channel, lines) in enumerate(screenplay.items(), 1):
        (folder / f"{number}-{channel}.json").write_text(render(export(channel, lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
