"""Which server a member's command is about: the one it is typed in or, in a direct message, one of theirs.

Direct messages offer, name and accept only servers that hold something of this very person. So nobody can
find out there which other servers the bot is in, or who is in them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import discord
from discord import app_commands

from bot.plain_text import clipped, plain
from ledger.store import Ledger

CHOICES = 25
CHOICE = 100
"""Discord's limits for suggestions while somebody types: how many, and how many characters each."""
NOTHING = (
    "I keep nothing about you in any server. To say yes, run `/privacy opt-in` in the server that you mean."
)


class Named(Protocol):
    """A server, as Discord or as the ledger knows it."""

    @property
    def id(self) -> int: ...

    @property
    def name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Home:
    """A server as the ledger knows it; the person, or the bot, may have left it."""

    id: int
    name: str


async def homes_of(ledger: Ledger, user_id: int) -> list[Home]:
    """Return the servers that hold something of this person."""
    return [Home(id_, name) for id_, name in (await ledger.guilds.about(user_id)).items()]


async def home_of(interaction: discord.Interaction, ledger: Ledger, server: str | None) -> Named:
    """Return the server that a command is about; ``server`` is what the person chose or typed.

    Raises:
        CheckFailure: there is none, or there are several and none was chosen.
    """
    if server is None and interaction.guild is not None:
        return interaction.guild
    homes = await homes_of(ledger, interaction.user.id)
    if server is not None:
        named = [home for home in homes if server == str(home.id) or server.lower() == home.name.lower()]
        if len(named) == 1:
            return named[0]
    elif len(homes) == 1:
        return homes[0]
    if not homes:
        raise app_commands.CheckFailure(NOTHING)
    known = clipped(", ".join(plain(label) for label in _labels(homes)), 1000)
    raise app_commands.CheckFailure(f"Which server do you mean? Choose it under `server`: {known}.")


async def offered_homes(ledger: Ledger, user_id: int, typed: str) -> list[app_commands.Choice[str]]:
    """Return what the option ``server`` offers while somebody types."""
    homes = await homes_of(ledger, user_id)
    return [
        app_commands.Choice(name=clipped(label, CHOICE), value=str(home.id))
        for home, label in zip(homes, _labels(homes), strict=True)
        if typed.lower() in label.lower()
    ][:CHOICES]


def _labels(homes: list[Home]) -> list[str]:
    """Return the servers' names, with their ids where two share a name."""
    names = Counter(home.name for home in homes)
    return [
        home.name if home.name and names[home.name] == 1 else f"{home.name or 'server'} ({home.id})"
        for home in homes
    ]
