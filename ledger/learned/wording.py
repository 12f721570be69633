"""How a night is put into words: the same on the command line, in Discord, in reports and on a page.

Pure functions from an outcome's plain values to labels and figures; each reader lays them out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ledger.learned.outcome import MODELS, Counts, Ending, Outcome, Score
from ledger.records import LOCKED

HEADLINES: Mapping[Ending, str] = {
    "promoted": "A better version serves now",
    "kept": "Tonight's version was not better; the old one stays",
    "skipped": "Nothing to learn tonight",
    "cancelled": "The night was cancelled",
    "paused": "The night was interrupted; the next start resumes it",
    "failed": "The night failed; what served before keeps serving",
}
UNLOCK = (
    "What is locked came through Discord's API. To learn from it, write Discord's permission to `[policy] "
    "discord_permission` in config.toml; members' own data packages are not locked."
)
GUARDS: Mapping[str, str] = {
    "general": "it has lost too much of its general English",
    "old": "it has lost too much of what it knew of older days",
    "line": "it has lost too much of what versions before it knew",
    "yesterday": "it did not learn what was said since the last night",
    "smoke": "too many of its replies were broken",
    "toxicity": "it answers provoking lines with too many insults",
    "recitals": "it repeats what single people wrote",
}
"""Why a guard kept a version out, in words without figures."""
UNTOLD = frozenset({"newest_learned_at", "train_tokens_planned"})
"""Counts that are for programs."""
SCORE_COLUMNS = ("NLL (nats/token)", "perplexity", "token accuracy", "general text NLL")


def counted(counts: Counts | Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a night learned from: (label, number)."""
    return [
        (words(name), f"{value:,}")
        for name, value in counts.items()
        if isinstance(value, int) and name not in UNTOLD
    ]


def left_out(counts: Counts | Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a night left out: (reason, number), without those that were none."""
    found = counts.get("left_out")
    reasons = found if isinstance(found, dict) else {}
    return [(words(reason), f"{value:,}") for reason, value in reasons.items() if value]


def is_any_locked(counts: Counts | Mapping[str, Any]) -> bool:
    """Tell whether the policy lock kept something away, so that :data:`UNLOCK` helps."""
    found = counts.get("left_out")
    return isinstance(found, dict) and bool(found.get(LOCKED))


def score_rows(scores: Mapping[str, Score]) -> list[tuple[str, ...]]:
    """Return a row a model, in the order of every table: its name, then :data:`SCORE_COLUMNS`."""
    return [
        (
            name,
            f"{score['nll']:.4f}",
            f"{score['perplexity']:.2f}",
            f"{score['token_accuracy']:.1%}",
            f"{score['general_nll']:.4f}",
        )
        for name in MODELS
        if (score := scores.get(name))
    ]


def words(name: str) -> str:
    """Return a field's name as people read it."""
    return name.replace("_", " ")


def remarks(outcome: Outcome) -> list[str]:
    """Return what an admin should know beside the verdict: yesterday, what waits, and who is kept out."""
    found = []
    if (told := outcome.next_day) is not None:
        change = 1 - math.exp(told["served_nll"] - told["base_nll"])
        found.append(
            f"Before it learned anything, what serves foresaw the {told['replies']:,} newest replies "
            f"{abs(change):.1%} {'better' if change >= 0 else 'worse'} than the untaught model."
        )
    left = outcome.counts.get("left_out")
    waiting = left.get("beyond the night's budget", 0) if isinstance(left, dict) else 0
    if waiting:
        found.append(
            f"The night's budget did not hold {_many(waiting, 'new message')}: [dataset] night_tokens "
            "sets it."
        )
    if held := _count(outcome.counts, "quarantined_people"):
        found.append(f"{_many(held, 'person')} went into quarantine; /train quarantine list says why.")
    return found


def three_sentences(outcome: Outcome) -> tuple[str, str, str]:
    """Say what was learned, from how much, and why the version serves or does not, for an admin."""
    return _what(outcome), _from_how_much(outcome.counts), _why(outcome)


def _what(outcome: Outcome) -> str:
    if outcome.stage not in ("promoted", "kept"):
        return "Nothing was learned tonight."
    new, replayed = _count(outcome.counts, "new_replies_learned"), _count(outcome.counts, "replayed_replies")
    if new is None:
        learned = f"Tonight it learned from {_many(_count(outcome.counts, 'train_replies') or 0, 'reply')}"
    else:
        learned = f"Tonight it learned {_many(new, 'new reply')}"
        learned += f" and went over {_many(replayed, 'older one')} again" if replayed else ""
    taught = _count(outcome.counts, "taught")
    if not taught:
        return f"{learned}."
    known = _count(outcome.counts, "taught_known")
    return (
        f"{learned}, and of {_many(taught, 'taught answer')} it knows {known if known is not None else '?'}."
    )


def _from_how_much(counts: Counts) -> str:
    people, conversations = _count(counts, "people"), _count(counts, "conversations")
    if people is None or conversations is None:
        return "How much there was to learn from was not counted."
    said = f"There were {_many(conversations, 'conversation')} by {_many(people, 'person')} to learn from"
    found = counts.get("left_out")
    reasons = {name: number for name, number in found.items() if number} if isinstance(found, dict) else {}
    if not reasons:
        return f"{said}, and nothing was left out."
    most = max(reasons, key=lambda name: reasons[name])
    return f"{said}; {_many(sum(reasons.values()), 'message')} stayed out, most of them as: {words(most)}."


def _why(outcome: Outcome) -> str:
    if outcome.stage not in ("promoted", "kept"):
        who = "the version of before keeps serving"
        return f"{HEADLINES[outcome.stage]}: {outcome.error}" if outcome.error else f"So {who}."
    compared = _compared(outcome)
    weaker = f", at {outcome.scale:.0%} of its strength" if outcome.scale != 1.0 else ""
    if outcome.stage == "promoted":
        return f"It serves now{weaker}, since {compared}."
    failed = [GUARDS[name] for name in outcome.failed_guards if name in GUARDS]
    if failed:
        return f"It does not serve, since {' and '.join(failed)}."
    proof = "that nothing was lost" if outcome.interval.get("margin", 0) > 0 else "that it is better"
    return f"It does not serve, since {compared}, which is no proof {proof}."


def _compared(outcome: Outcome) -> str:
    """Say how it did on the held-out replies, as a share of perplexity: nats tell an admin nothing."""
    estimate = outcome.interval.get("estimate")
    if estimate is None:
        return "there were too few held-out replies to compare it on"
    than = "the version before it" if "champion" in outcome.scores else "the untaught model"
    change = 1 - math.exp(estimate)
    how = f"{abs(change):.1%} {'better' if change > 0 else 'worse'} than {than}"
    replies = outcome.scores["candidate"].get("replies") if "candidate" in outcome.scores else None
    unseen = f"{f'{replies:,} ' if replies else ''}replies that it never saw"
    mine, theirs = (_fresh(outcome, name) for name in ("candidate", "champion"))
    if mine is None or theirs is None:
        return f"it foresees {unseen} {how}"
    gain = 1 - math.exp(mine - theirs)
    known = f"{abs(gain):.1%} {'better' if gain > 0 else 'worse'} than {than}"
    there = f"{abs(change):.1%} {'better' if change > 0 else 'worse'}"
    return f"it foresees what was said since the last night {known}, and {unseen} {there}"


def _fresh(outcome: Outcome, model: str) -> float | None:
    return outcome.scores[model].get("fresh_nll") if model in outcome.scores else None


def _count(counts: Counts, name: str) -> int | None:
    value = counts.get(name)
    return value if isinstance(value, int) else None


def _many(number: int, what: str) -> str:
    plural = {"reply": "replies", "new reply": "new replies", "person": "people"}.get(what, f"{what}s")
    return f"{number:,} {what if number == 1 else plural}"
