"""Where a night keeps its files, when it publishes them, and when it deletes them. Knows paths alone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from engine.model.adapter_files import read_manifest
from ledger.errors import AdapterError

DATASETS_KEPT = 3
"""Datasets of a guild that stay for inspection; each holds members' words, so older ones are deleted."""


@dataclass(frozen=True, slots=True)
class NightFolders:
    """The folders of one run."""

    dataset: Path
    work: Path

    @classmethod
    def of(cls, run: str, *, datasets_dir: Path, runs_dir: Path) -> NightFolders:
        return cls(datasets_dir / run, runs_dir / run)

    @property
    def fitted(self) -> Path:
        """The adapter before its verdict."""
        return self.work / "adapter"

    @property
    def metrics(self) -> Path:
        """The fit's figures; written before the adapter, so that an adapter always has them."""
        return self.work / "metrics.json"

    def drop_checkpoints(self) -> None:
        """Remove what only a resume needs."""
        shutil.rmtree(self.work / "checkpoints", ignore_errors=True)


def clear_leftovers(final: Path, run: str) -> None:
    """Remove what another run left in a version's folder: a restored database numbers versions anew.

    Raises:
        OSError: it cannot be removed.
    """
    if not final.exists():
        return
    try:
        whose = read_manifest(final).fields.get("run")
    except AdapterError:
        whose = None  # no engine would load it
    if whose != run:
        shutil.rmtree(final)


def publish(fitted: Path, final: Path) -> None:
    """Move a finished adapter directory to its version's folder, where it never changes again.

    Raises:
        AdapterError: the folder exists or cannot be written.
    """
    if final.exists():
        raise AdapterError(f"{final} is there already; a version is never written twice.")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        # One rename, so that a version's folder appears whole.
        fitted.rename(final)
    except OSError as error:
        raise AdapterError(f"The adapter cannot be moved to {final}: {error.strerror or error}.") from error


def drop_old_datasets(datasets_dir: Path, guild_id: int) -> None:
    """Remove all but the guild's newest datasets; run ids sort by time."""
    folders = sorted(folder for folder in datasets_dir.glob(f"g{guild_id}-*") if folder.is_dir())
    for folder in folders[:-DATASETS_KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["NightFolders", "clear_leftovers", "drop_old_datasets", "publish"]
