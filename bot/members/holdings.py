"""What is kept about one member, for themselves: in words, and whole.

Every line is true wherever the words came from: heard here after a yes, handed in by the member, taught, or
imported by the operator on a ground of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import discord

from bot.members.receipts import day
from bot.plain_text import clipped, plain
from ledger.clock import from_ms
from ledger.forgetting.deletion_path import DAY_MS
from ledger.people.quarantine import Detained
from ledger.records import OPT_IN, PACKAGE_BASIS, Adapter, ConsentEvent, Message
from ledger.store import Ledger

FIELD = 1024
"""Discord's limit for one field of an embed, in characters."""
GROUND = 160
GROUNDS = 4
"""How many stated grounds to quote, each cut to `GROUND` characters; the export has them all."""


def consent_text(event: ConsentEvent | None) -> str:
    """Return what the member said about consent, and since when that holds."""
    if event is None:
        return (
            "You were never asked, or never answered, so what you write here is not kept. "
            "`/privacy opt-in` says yes."
        )
    since = discord.utils.format_dt(from_ms(event.at), "R")
    if not event.granted:
        return f"You said no {since}. `/privacy opt-in` changes that."
    where = ", ".join(f"<#{channel}>" for channel in event.channels[:10]) or "all channels I may learn from"
    return f"You said yes {since}, for {where}. `/privacy opt-out` changes that."


def kept_text(messages: Sequence[Message], retention_days: int) -> str:
    """Return how many messages are kept, where they came from, and until when."""
    if not messages:
        return "none"
    # Retention counts from the import: an old export would otherwise go the day after.
    newest = max(message.imported_at or message.created_at for message in messages)
    last = day(newest + retention_days * DAY_MS)
    lines = [f"{len(messages):,}, the newest until {last}:", *_origins(messages)]
    lines.append("`/privacy forget-me` erases all of them now, wherever they came from.")
    return clipped("\n".join(lines), FIELD)


def _origins(messages: Sequence[Message]) -> list[str]:
    """Return a line for each way that messages came here, the member's own doing first."""
    own: Counter[str] = Counter()
    declared: Counter[str] = Counter()
    for message in messages:
        if message.basis == OPT_IN:
            own["that you agreed to"] += 1
        elif message.basis == PACKAGE_BASIS:
            own["from your data package"] += 1
        elif message.source == "example":
            own["that you taught me"] += 1
        else:
            declared[message.basis] += 1
    lines = [f"• {count:,} {what}" for what, count in own.items()]
    for ground, count in declared.most_common(GROUNDS):
        stated = f"on this ground: {clipped(plain(ground), GROUND)}" if ground else "without a ground"
        lines.append(f"• {count:,} that the operator imported, {stated}")
    if rest := declared.total() - sum(count for _, count in declared.most_common(GROUNDS)):
        lines.append(f"• {rest:,} that the operator imported on other grounds; `/privacy export` has them")
    return lines


def quarantine_text(held: Detained) -> str:
    """Return which of somebody's words nights leave out, why, and how that ends."""
    since, until = (discord.utils.format_dt(from_ms(at), "D") for at in (held.since, held.until))
    if held.allowed_by is not None:
        return f"Nights left out what you wrote from {since} on ({held.told}); an admin let you in again."
    return clipped(
        f"Nights leave out what you wrote from {since} until {until}: {held.told}. "
        "What you write after that is learned again; an admin can end it earlier, and let in the rest.",
        FIELD,
    )


async def versions_with(ledger: Ledger, guild_id: int, user_id: int, *, adapter_days: int) -> list[str]:
    """Return a line for each version that learned from this person, with its last date where it has one.

    A version that grew from such a one is such a one itself.
    """
    runs = set(await ledger.runs.runs_with_author(guild_id, user_id, learned=True))
    due = {each.adapter.version: each.delete_by for each in await ledger.deletions.tainted()}
    lines = []
    for adapter in await ledger.adapters.of_guild(guild_id):
        if adapter.run_id in runs and adapter.state != "deleted":
            serves = ", serves now" if adapter.state == "champion" else ""
            lines.append(f"`{adapter.version}`{serves}{_until(adapter, due, adapter_days)}")
    if set(await ledger.runs.runs_with_author(guild_id, user_id)) - runs:
        lines.append(
            "Nights also measured versions on words of yours that they did not learn; "
            "those hold nothing of them."
        )
    return lines


def _until(adapter: Adapter, due: Mapping[str, int], adapter_days: int) -> str:
    """Say until when a version is kept."""
    if adapter.version in due:
        return f", deleted by {day(due[adapter.version])}"
    last = day(adapter.created_at + adapter_days * DAY_MS)
    waits = " or, while it serves or may be returned to, longer" if adapter.state != "retired" else ""
    return f", until {last} at the latest{waits}; `/privacy forget-me` takes you out earlier"


async def everything_about(ledger: Ledger, guild_id: int, user_id: int) -> dict[str, Any]:
    """Return everything that the ledger holds about a person in a guild, for their export."""
    held = await ledger.quarantine.of_person(guild_id, user_id)
    return {
        "guild": guild_id,
        "user": user_id,
        "consent": [asdict(event) for event in await ledger.consent.history(guild_id, user_id)],
        "messages": [asdict(m) for m in await ledger.messages.of_author(guild_id, user_id)],
        "replies_to_you": [asdict(r) for r in await ledger.answers.asked_by(guild_id, user_id)],
        "reactions": [asdict(r) for r in await ledger.answers.reactions_of(guild_id, user_id)],
        "forgotten": [asdict(d) for d in await ledger.deletions.of_person(guild_id, user_id)],
        "quarantine": asdict(held) if held else None,
        "runs": await ledger.runs.runs_with_author(guild_id, user_id),
    }
