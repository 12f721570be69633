"""What the ledger's tests share: two known guilds with channels, and a way to make messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger.records import Message
from ledger.store import Ledger

GUILD, OTHER_GUILD = 1, 11
CHANNEL, OTHER_CHANNEL = 100, 200


@pytest.fixture
async def house(ledger: Ledger) -> Ledger:
    """A ledger that knows two guilds, one's number a prefix of the other's, and a channel in each."""
    await ledger.guilds.ensure(GUILD, "Lantern Yard")
    await ledger.guilds.ensure(OTHER_GUILD, "Elsewhere")
    await ledger.channels.ensure(CHANNEL, GUILD, "lounge")
    await ledger.channels.ensure(OTHER_CHANNEL, OTHER_GUILD, "hall")
    return ledger


@pytest.fixture
def message() -> Callable[..., Message]:
    """Return a function that makes a message by id; everything else has a default."""

    def make(number: int, content: str = "good evening", **fields: Any) -> Message:
        defaults: dict[str, Any] = {
            "guild_id": GUILD,
            "channel_id": CHANNEL,
            "author_id": 7,
            "author_name": "Wren",
            "created_at": 1_772_000_000_000 + number * 1000,
        }
        return Message(id=number, content=content, **{**defaults, **fields})

    return make
