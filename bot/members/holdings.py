"""What is kept about one member, in words: their answer, their messages by origin, and until when.

Every line is true wherever the words came from: heard here after a yes, handed in by the member, written
as an example, or imported by the operator on a ground of their own. Knows records; reads nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import discord

from bot.members.erasing import day
from bot.nights.night_embeds import clipped, plain
from ledger.clock import from_ms
from ledger.forgetting.deletion_path import DAY_MS
from ledger.records import OPT_IN, PACKAGE_BASIS, ConsentEvent, Message

FIELD = 1024
"""Discord's limit for one field of an embed, in characters."""
GROUND = 160
GROUNDS = 4
"""How many declared grounds are quoted, each cut to `GROUND` characters; the export names all."""


def answer_text(event: ConsentEvent | None) -> str:
    """Return the member's answer about consent, and since when it stands."""
    if event is None:
        return (
            "You were never asked, or never answered: what you write here is not kept. "
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
    newest = max(message.imported_at or message.created_at for message in messages)
    last = day(newest + retention_days * DAY_MS)
    lines = [f"{len(messages):,}, the newest until {last}:", *_origins(messages)]
    lines.append("`/privacy forget-me` erases all of them now, wherever they came from.")
    return clipped("\n".join(lines), FIELD)


def _origins(messages: Sequence[Message]) -> list[str]:
    """Return a line for each way by which messages came here, the member's own doing first."""
    own: Counter[str] = Counter()
    declared: Counter[str] = Counter()
    for message in messages:
        if message.basis == OPT_IN:
            own["that you agreed to"] += 1
        elif message.basis == PACKAGE_BASIS:
            own["from your data package"] += 1
        elif message.source == "example":
            own["that you wrote as an example"] += 1
        else:
            declared[message.basis] += 1
    lines = [f"• {count:,} {what}" for what, count in own.items()]
    for ground, count in declared.most_common(GROUNDS):
        stated = f"on this ground: {clipped(plain(ground), GROUND)}" if ground else "without a ground"
        lines.append(f"• {count:,} that the operator imported, {stated}")
    if rest := declared.total() - sum(count for _, count in declared.most_common(GROUNDS)):
        lines.append(f"• {rest:,} that the operator imported on other grounds; `/privacy export` has them")
    return lines
