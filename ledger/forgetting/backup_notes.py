"""The notes beside backups: later deletions and consent events, for a restore to replay.

One JSON object a line, identifiers and times alone. A line that was cut off is written again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ledger.errors import LedgerError
from ledger.forgetting.deletions import Deletion
from ledger.forgetting.erasure import Kind
from ledger.records import BackupFolder, ConsentEvent
from ledger.store import Ledger

NOTES = "deletions.jsonl"
"""The file's name, beside the backups."""
_CONSENT = "answer"
"""Kind of a line with a consent event; the word is that of files already written."""


@dataclass(frozen=True, slots=True)
class NotedDeletion:
    """A deletion as it was asked for; times in milliseconds."""

    guild_id: int
    kind: Kind
    subject: tuple[int, ...]
    asked_by: str
    asked_at: int

    @property
    def key(self) -> tuple[int, str, int, tuple[int, ...]]:
        """What tells it from every other one."""
        return self.guild_id, self.kind, self.asked_at, self.subject


def noted(deletion: Deletion) -> NotedDeletion:
    """Return what a restore needs to know of a deletion."""
    return NotedDeletion(
        deletion.guild_id, deletion.kind, deletion.subject, deletion.asked_by, deletion.asked_at
    )


async def tell(ledger: Ledger, folder: BackupFolder) -> None:
    """Write what the folder's notes lack, and remember that they have it.

    Raises:
        OSError: the folder is not there, holds no backup, or cannot be written.
    """
    deletions = await ledger.deletions.since(folder.deletions_up_to)
    # Read before the events themselves: one that comes in between is noted twice, which a restore
    # removes, and not never.
    answered = await ledger.consent.newest()
    # Forgetting a person opts them out: the deletion's own note says so.
    given = {
        (deletion.guild_id, user, deletion.asked_at)
        for deletion in deletions
        if deletion.kind == "person"
        for user in deletion.subject
    }
    answers = [
        answer
        for answer in await ledger.consent.after(folder.answers_up_to)
        if answer.granted or (answer.guild_id, answer.user_id, answer.at) not in given
    ]
    if not deletions and not answers:
        return
    _append(Path(folder.path), [noted(deletion) for deletion in deletions], answers)
    told = deletions[-1].id if deletions else folder.deletions_up_to
    await ledger.note_backup_folder(replace(folder, deletions_up_to=told, answers_up_to=answered))


def _append(folder: Path, deletions: Collection[NotedDeletion], answers: Iterable[ConsentEvent]) -> None:
    # Where a disk is not mounted, the empty folder in its place would take the note instead.
    if not any(folder.glob("ledger-*")):
        raise FileNotFoundError(f"{folder} holds no backup: its disk is not there, or they were moved")
    rows = [asdict(deletion) for deletion in deletions]
    rows += [{"kind": _CONSENT, **asdict(answer)} for answer in answers]
    with (folder / NOTES).open("a+b") as file:
        # A backup by the clock and the bot may write at once.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        # A killed process left its last line unfinished: that one is written anew.
        file.truncate(len(_whole_lines(file.read())))
        file.write(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        file.flush()
        # Next the ledger remembers that these lines are there; after a power cut they must be.
        os.fsync(file.fileno())


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


def read(path: Path) -> tuple[list[NotedDeletion], list[ConsentEvent]]:
    """Return the deletions and consent events that a file notes; none if there is no file.

    A last line without an end was left by a killed process; nobody counts on it.

    Raises:
        LedgerError: a line is broken.
    """
    if not path.is_file():
        return [], []
    deletions: list[NotedDeletion] = []
    answers: list[ConsentEvent] = []
    try:
        for line in _whole_lines(path.read_bytes()).splitlines():
            row: dict[str, Any] = json.loads(line)
            if row["kind"] == _CONSENT:
                del row["kind"]
                answers.append(ConsentEvent(**{**row, "channels": tuple(row["channels"])}))
            else:
                wanted = {name: row[name] for name in NotedDeletion.__slots__}
                deletions.append(NotedDeletion(**{**wanted, "subject": tuple(row["subject"])}))
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"{path} cannot be read: mend or remove its broken line.") from error
    return deletions, answers


__all__ = ["NOTES", "NotedDeletion", "noted", "read", "tell"]
