"""A night's outcome as Discord shows it: embeds, the loss curve, and two buttons.

Pure functions from the trainer's outcome object; sends nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import discord

from ledger.clock import to_ms
from ledger.learned.adapter_versions import short_name
from ledger.learned.runs import RUN
from ledger.records import LOCKED, Run

COLOURS = {
    "promoted": discord.Colour.green(),
    "kept": discord.Colour.gold(),
    "skipped": discord.Colour.light_grey(),
    "cancelled": discord.Colour.light_grey(),
    "failed": discord.Colour.red(),
}
TITLES = {
    "promoted": "🎓 A better version serves now",
    "kept": "📚 Tonight's version was not better; the old one stays",
    "skipped": "😴 Nothing to learn tonight",
    "cancelled": "✋ The night was cancelled",
    "paused": "⏸️ The night was interrupted; the next start goes on with it",
    "failed": "🩹 The night failed; what served goes on serving",
}
# Discord takes at most 1,024 characters a field and 6,000 over all embeds of a message; together
# these stay below, with nothing cut in a usual night.
REASONS = 1300
COUNTS = 900
FIGURES = 400
FOOTER = 300
QUESTION = 160
REPLY = 350
UNLOCK = (
    "To change that: write Discord's permission to `[policy] discord_permission`, or have members import "
    "their own data packages."
)
_MARKUP = re.compile(r"(?P<link>https?://[^\s<>\[\]()|*]+)|[\\\\*_~`|<>\[\]#]")
_LISTS = re.compile(r"^(\s*)([-+])", re.MULTILINE)


def report_embeds(outcome: Mapping[str, Any]) -> list[discord.Embed]:
    """Return the report: one embed of facts and, where replies were sampled, one of replies."""
    stage = str(outcome.get("stage", "failed"))
    embed = discord.Embed(
        title=TITLES.get(stage, clipped(stage, 100)), colour=COLOURS.get(stage), description=_reasons(outcome)
    )
    if outcome.get("counts"):
        embed.add_field(name="Learned from", value=_counts(outcome["counts"]), inline=False)
    if outcome.get("perplexity"):
        embed.add_field(name="Perplexity on held-out replies", value=_perplexity(outcome), inline=False)
    picture = _picture(outcome)
    if picture is not None:
        embed.set_image(url=f"attachment://{picture.name}")
    embed.set_footer(text=_footer(outcome))
    samples = outcome.get("samples") or []
    return [embed, _samples(samples)] if samples else [embed]


def report_file(outcome: Mapping[str, Any]) -> discord.File | None:
    """Return the loss curve's picture, if the night drew one."""
    picture = _picture(outcome)
    return discord.File(picture) if picture is not None else None


def _picture(outcome: Mapping[str, Any]) -> Path | None:
    path = outcome.get("loss_curve")
    return Path(path) if path and Path(path).is_file() else None


def _reasons(outcome: Mapping[str, Any]) -> str:
    reasons = list(outcome.get("reasons") or [])
    if outcome.get("error"):
        reasons.append(str(outcome["error"]))
    return clipped("\n".join(f"• {reason}" for reason in reasons) or "No reason was given.", REASONS)


def _counts(counts: Mapping[str, Any]) -> str:
    """Say how many were learned from, and what was left out and why."""
    lines = [f"**{value:,}** {_words(key)}" for key, value in counts.items() if isinstance(value, int)]
    left_out = counts.get("left_out") or {}
    lines += [f"left out: {value:,} — {_words(reason)}" for reason, value in left_out.items() if value]
    if left_out.get(LOCKED):
        lines.append(UNLOCK)
    return clipped("\n".join(lines) or "nothing", COUNTS)


def _perplexity(outcome: Mapping[str, Any]) -> str:
    """Lay the three figures out as a table in a code block, which keeps its columns in Discord."""
    rows = []
    for name in ("base", "champion", "candidate"):
        perplexity, nll = outcome["perplexity"].get(name), (outcome.get("nll") or {}).get(name)
        if perplexity is not None:
            rows.append(f"{name:<10}{perplexity:>9.2f}" + (f"   {nll:.3f} nats/token" if nll else ""))
    return "```\n" + clipped("\n".join(rows), FIGURES) + "\n```"


def _samples(samples: Sequence[Mapping[str, Any]]) -> discord.Embed:
    embed = discord.Embed(title="The same questions, before and after", colour=discord.Colour.blurple())
    for sample in samples[:3]:
        lines = str(sample.get("context") or "").strip().splitlines() or ["(no text)"]
        embed.add_field(name="\u200b", value=f"> {clipped(plain(lines[-1]), QUESTION)}", inline=False)
        for name in ("before", "after"):
            reply = plain(str(sample.get(name) or "").strip())
            embed.add_field(name=name.capitalize(), value=clipped(reply, REPLY) or "—", inline=True)
    return embed


def _footer(outcome: Mapping[str, Any]) -> str:
    parts = [
        version_of(outcome),
        f"{outcome['seconds'] / 60:.0f} min" if outcome.get("seconds") else "",
        f"run {outcome['run']}" if outcome.get("run") and not outcome.get("candidate") else "",
    ]
    return clipped(" · ".join(part for part in parts if part) or "it had not begun yet", FOOTER)


def version_of(outcome: Mapping[str, Any]) -> str:
    """Return the night's version as people read it, or an empty text; its day is that of the run's name."""
    begun = RUN.fullmatch(str(outcome.get("run") or ""))
    day = datetime.strptime(f"{begun['day']}Z", "%Y%m%d%z") if begun else None
    return short_name(str(outcome.get("candidate") or ""), to_ms(day) if day else None)


def started_by(trigger: str) -> str:
    """Return who or what started a night, a member as a mention; in an embed nobody is pinged by it."""
    by_hand = re.fullmatch(r"/train start by (\d+)", trigger)
    return f"started by <@{by_hand[1]}>" if by_hand else trigger


def how_it_ended(run: Run) -> str:
    """Return a night's end in a word or two; one that was cut off has none."""
    return run.stage if run.finished else f"cut off (it was {run.stage})"


def plain(text: str) -> str:
    """Return text of members or of the model so that Discord shows it as it is: no markup, no ping."""
    text = _MARKUP.sub(lambda found: found["link"] or f"\\{found[0]}", discord.utils.escape_mentions(text))
    return _LISTS.sub(r"\1\\\2", text)


def clipped(text: str, limit: int) -> str:
    """Return ``text``, cut to ``limit`` characters with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _words(key: str) -> str:
    return key.replace("_", " ")


def progress_bar(share: float, *, width: int = 20) -> str:
    """Return a bar of ``width`` cells for a share from 0 to 1."""
    filled = round(max(0.0, min(1.0, share)) * width)
    return "█" * filled + "░" * (width - filled)
