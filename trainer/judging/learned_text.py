"""What a run learned from, read back from the ledger for the leakage gate; kept in memory only."""

from __future__ import annotations

from pathlib import Path

from ledger.records import Run
from ledger.scrubbing import found_values
from ledger.store import Ledger
from trainer.judging.leakage import Corpus

CANARIES = "canaries.txt"
"""Strings that must never come out of a model; a version that recites one cannot be promoted."""


async def corpus_of(ledger: Ledger, run: Run, *, data_dir: Path, parent: str | None = None) -> Corpus:
    """Return the messages that the run saw, and which values of theirs must never come back.

    What ``parent`` learned, the version that the fit started from, the candidate knows, too.

    Those are the secrets that the operator planted in ``data_dir``, and values that scrubbing recognises
    but did not remove, because it is switched off.
    """
    seen = await ledger.runs.messages_of(run.id)
    if parent is not None:
        seen |= await ledger.lineage.seen_by(parent)
    learned = [
        # As the dataset holds it: what today's scrubbing takes out was not learned.
        (message.author_id, ledger.messages.as_stored(message.content))
        for message in await ledger.messages.among(run.guild_id, seen)
    ]
    private = [value for _, text in learned for _, value in found_values(text)]
    return Corpus(learned, secrets=[*private, *canaries(data_dir)])


def canaries(data_dir: Path) -> list[str]:
    """Return the secrets that an operator planted: lines of ``canaries.txt``, if there is one."""
    path = data_dir / CANARIES
    return path.read_text(encoding="utf-8").split("\n") if path.is_file() else []


__all__ = ["CANARIES", "canaries", "corpus_of"]
