"""Preparing a night's dataset: from the ledger's messages to a directory of conversations.

``await prepare(ledger, …)``, or ``python -m trainer prepare``. Reads the ledger and writes one
directory, which appears whole or not at all; knows no tokenizer and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ledger.errors import DatasetError
from ledger.records import Role
from ledger.store import Ledger
from ledger.talk.prompts import FORM
from trainer.choosing.suspicion import Toxicity
from trainer.preparing.arranging import arrange, unjudged
from trainer.preparing.dataset_files import write_dataset
from trainer.preparing.dataset_split import Split
from trainer.preparing.gathering import gather, permitted, start_of
from trainer.preparing.material import DatasetLimits, Material, Origin, Start
from trainer.preparing.selection import LOCKED
from trainer.preparing.tonight import Measure, estimated
from trainer.stopping import in_thread


class TooFewNew(DatasetError):
    """The guild has fewer new replies than a night needs; ``counts`` says what there is."""

    def __init__(self, message: str, counts: dict[str, Any]) -> None:
        super().__init__(message)
        self.counts = counts


@dataclass(frozen=True, slots=True)
class Prepared:
    """A dataset directory and what went into it."""

    directory: Path
    counts: dict[str, Any]
    learned_from: tuple[tuple[int, int], ...] = field(repr=False)
    """(message id, author id) of every message in the dataset, as a target or as context."""
    roles: dict[int, Role] = field(repr=False)
    """How each of them is used."""
    suspects: Mapping[int, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """Who is to be quarantined, with codes of the reasons."""
    since: int = 0
    """From when on messages counted as new, in milliseconds."""


async def prepare(
    ledger: Ledger,
    guild_id: int,
    directory: Path,
    limits: DatasetLimits,
    *,
    bot_name: str,
    discord_permission: str = "",
    min_new_replies: int = 0,
    run: str = "",
    origin: Origin | None = None,
    measure: Measure = estimated,
    toxicity: Toxicity = unjudged,
    without: Collection[int] = (),
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> Prepared:
    """Write tonight's dataset of ``guild_id`` to ``directory``, replacing an older one.

    Raises:
        TooFewNew: fewer than ``min_new_replies`` replies are new since the last night.
        DatasetError: there is no usable reply, or the directory cannot be written.
        RunCancelled: ``stop`` asked for it.
    """
    origin = origin or Origin()
    material = await gather(
        ledger,
        guild_id,
        limits,
        origin=origin,
        discord_permission=discord_permission,
        without=without,
        stop=stop,
        on_progress=on_progress,
    )
    start = await start_of(ledger, origin, material)
    work = partial(
        arrange, material, limits, bot_name=bot_name, start=start, measure=measure, toxicity=toxicity
    )
    arranged = await in_thread(work, cancelled=stop)
    parts, counts = arranged.split, arranged.counts
    # First: the night of a quiet server is skipped, and has not failed.
    _check_new(counts, min_new_replies)
    _check_usable(parts, counts, material)
    manifest = {
        "run": run,
        "guild": guild_id,
        "guild_name": material.guild_name,
        "bot_name": bot_name,
        "form": FORM,
        "created_at": ledger.clock.now().isoformat(),
        "start": start.version,
        "settings": asdict(limits),
        "counts": counts,
    }
    write_dataset(directory, parts, manifest)
    authors: dict[int, int] = {}
    for talk in parts.all_talks():
        for window in talk.windows:
            authors |= window.authors
    return Prepared(
        directory,
        counts,
        tuple(sorted(authors.items())),
        parts.roles(),
        arranged.suspects,
        material.since(start),
    )


def _check_new(counts: dict[str, Any], least: int) -> None:
    new = counts["new_replies"]
    if new < least:
        locked = counts["left_out"].get(LOCKED, 0)
        raise TooFewNew(
            f"Only {new} replies are new since the last night, and a night needs {least}."
            + (f" {locked} messages are locked until [policy] discord_permission is set." if locked else ""),
            counts,
        )


def _check_usable(parts: Split, counts: dict[str, Any], material: Material) -> None:
    if parts.train and parts.val and parts.test:
        return
    if LOCKED in counts["left_out"] and not counts["conversations"]:
        raise DatasetError(
            f"All {counts['left_out'][LOCKED]} messages of {material.guild_name} came through Discord's API "
            "and are locked: write Discord's permission to [policy] discord_permission, or import an "
            "export with --basis."
        )
    raise DatasetError(
        f"{material.guild_name} has {counts['conversations']} usable conversations, too few to train, "
        "validate and test on different ones: let more members opt in, or import an export."
    )


__all__ = [
    "DatasetLimits",
    "Material",
    "Measure",
    "Origin",
    "Prepared",
    "Start",
    "TooFewNew",
    "arrange",
    "estimated",
    "gather",
    "permitted",
    "prepare",
]
