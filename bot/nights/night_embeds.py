"""A night's outcome as Discord shows it: embeds, the loss curve, and two buttons.

Pure functions from the trainer's outcome object; sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import cast

import discord

from bot.plain_text import clipped, plain
from ledger.clock import to_ms
from ledger.learned.outcome import MODELS, Counts, Ending, Outcome, Sample
from ledger.learned.runs import RUN
from ledger.learned.version_names import short_name
from ledger.learned.wording import (
    HEADLINES,
    UNLOCK,
    counted,
    is_any_locked,
    left_out,
    remarks,
    three_sentences,
)
from ledger.records import Run

COLOURS: Mapping[Ending, discord.Colour] = {
    "promoted": discord.Colour.green(),
    "kept": discord.Colour.gold(),
    "skipped": discord.Colour.light_grey(),
    "cancelled": discord.Colour.light_grey(),
    "failed": discord.Colour.red(),
}
EMOJI: Mapping[Ending, str] = {
    "promoted": "🎓",
    "kept": "📚",
    "skipped": "😴",
    "cancelled": "✋",
    "paused": "⏸️",
    "failed": "🩹",
}
# Discord takes at most 1,024 characters a field and 6,000 over all embeds of a message; together
# these stay below, with nothing cut in a usual night.
REASONS = 1800
COUNTS = 900
FIGURES = 400
FOOTER = 300
QUESTION = 160
REPLY = 350


def report_embeds(outcome: Outcome) -> list[discord.Embed]:
    """Return the report: one embed of facts and, where replies were sampled, one of replies."""
    embed = discord.Embed(
        title=_title(outcome.stage), colour=COLOURS.get(outcome.stage), description=_reasons(outcome)
    )
    if outcome.counts:
        embed.add_field(name="Learned from", value=_counts(outcome.counts), inline=False)
    if outcome.scores:
        embed.add_field(name="Perplexity on held-out replies", value=_perplexity(outcome), inline=False)
    picture = _picture(outcome)
    if picture is not None:
        embed.set_image(url=f"attachment://{picture.name}")
    embed.set_footer(text=_footer(outcome))
    return [embed, _samples(outcome.samples)] if outcome.samples else [embed]


def report_file(outcome: Outcome) -> discord.File | None:
    """Return the loss curve's picture, if the night drew one."""
    picture = _picture(outcome)
    return discord.File(picture) if picture is not None else None


def title_of(run: Run) -> str:
    """Return a finished night's title."""
    return _title(cast(Ending, run.stage))  # a finished run's stage is its ending


def _title(ending: Ending) -> str:
    return f"{EMOJI[ending]} {HEADLINES[ending]}"


def _picture(outcome: Outcome) -> Path | None:
    path = Path(outcome.loss_curve) if outcome.loss_curve else None
    return path if path is not None and path.is_file() else None


def _reasons(outcome: Outcome) -> str:
    reasons = [*remarks(outcome), *outcome.reasons, *([outcome.error] if outcome.error else [])]
    lines = [f"• {reason}" for reason in reasons] or ["No reason was given."]
    if outcome.stage in ("promoted", "kept"):
        lines = [" ".join(three_sentences(outcome)), "", *lines]
    return clipped("\n".join(lines), REASONS)


def _counts(counts: Counts) -> str:
    """Say how many were learned from, and what was left out and why."""
    lines = [f"**{number}** {label}" for label, number in counted(counts)]
    lines += [f"left out: {number} — {reason}" for reason, number in left_out(counts)]
    if is_any_locked(counts):
        lines.append(UNLOCK)
    return clipped("\n".join(lines) or "nothing", COUNTS)


def _perplexity(outcome: Outcome) -> str:
    """Lay the three figures out as a table in a code block, which keeps its columns in Discord."""
    rows = [
        f"{name:<10}{score['perplexity']:>9.2f}   {score['nll']:.3f} nats/token"
        for name in MODELS
        if (score := outcome.scores.get(name))
    ]
    return "```\n" + clipped("\n".join(rows), FIGURES) + "\n```"


def _samples(samples: Sequence[Sample]) -> discord.Embed:
    embed = discord.Embed(title="The same questions, before and after", colour=discord.Colour.blurple())
    for sample in samples[:3]:
        lines = sample["context"].strip().splitlines() or ["(no text)"]
        # Discord refuses a field without a name; this one has no width.
        embed.add_field(name="\u200b", value=f"> {clipped(plain(lines[-1]), QUESTION)}", inline=False)
        for name, reply in (("Before", sample["before"]), ("After", sample["after"])):
            embed.add_field(name=name, value=clipped(plain(reply.strip()), REPLY) or "—", inline=True)
    return embed


def _footer(outcome: Outcome) -> str:
    parts = [
        version_of(outcome),
        f"{outcome.seconds / 60:.0f} min" if outcome.seconds else "",
        f"run {outcome.run}" if outcome.run and not outcome.candidate else "",
    ]
    return clipped(" · ".join(part for part in parts if part) or "it had not begun yet", FOOTER)


def version_of(outcome: Outcome) -> str:
    """Return the night's version as people read it, or an empty text; its day is that of the run's name."""
    begun = RUN.fullmatch(outcome.run)
    day = datetime.strptime(f"{begun['day']}Z", "%Y%m%d%z") if begun else None
    return short_name(outcome.candidate or "", to_ms(day) if day else None)


def started_by(trigger: str) -> str:
    """Return who or what started a night, a member as a mention; in an embed nobody is pinged by it."""
    by_hand = re.fullmatch(r"/train start by (\d+)", trigger)
    return f"started by <@{by_hand[1]}>" if by_hand else trigger


def how_it_ended(run: Run) -> str:
    """Return a night's end in a word or two; one that was cut off has none."""
    return run.stage if run.finished else f"cut off (it was {run.stage})"


def progress_bar(share: float, *, width: int = 20) -> str:
    """Return a bar of ``width`` cells for a share from 0 to 1."""
    filled = round(max(0.0, min(1.0, share)) * width)
    return "█" * filled + "░" * (width - filled)
