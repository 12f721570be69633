"""The ledger as one object: ``async with Ledger.open(path, clock=clock) as ledger``.

Every process that needs the database opens its own; SQLite's WAL lets them read while one writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ledger.clock import Clock, SystemClock
from ledger.forgetting.deletions import Deletions
from ledger.learned.adapter_versions import Adapters
from ledger.learned.conversation_scores import ConversationScores
from ledger.learned.lineage import Lineage
from ledger.learned.promotions import Promotions
from ledger.learned.runs import Runs
from ledger.people.consent_history import Consent
from ledger.people.guilds import Channels, Guilds, People
from ledger.people.quarantine import Quarantine
from ledger.records import BackupFolder
from ledger.sqlite.database import Reader, checkpoint, open_database, rewrite
from ledger.sqlite.residue import has_residue
from ledger.sqlite.writer import Writer
from ledger.talk.bot_answers import BotAnswers
from ledger.talk.comparisons import Comparisons
from ledger.talk.live_messages import LiveMessages
from ledger.talk.messages import Messages
from ledger.talk.sorting import Conversations

CHECKPOINT_PAUSES = (0.05, 0.2, 0.5)
"""Seconds between attempts to empty the WAL while another process does so."""


class Ledger:
    """All parts of the record, over one reading and one writing connection."""

    def __init__(
        self,
        path: Path,
        reader: Reader,
        writer: Writer,
        clock: Clock,
        *,
        scrubbing: bool = True,
    ) -> None:
        self.path = path
        self.reader = reader
        self.writer = writer
        self.clock = clock
        self._checkpointing = asyncio.Lock()
        self.guilds = Guilds(reader, writer, clock)
        self.consent = Consent(reader, writer, clock)
        self.quarantine = Quarantine(reader, writer, clock)
        self.messages = Messages(reader, writer, scrubbing=scrubbing)
        self.conversations = Conversations(reader, writer)
        self.comparisons = Comparisons(reader, writer)
        self.channels = Channels(reader, writer, as_stored=self.messages.as_stored)
        self.people = People(reader, writer, as_stored=self.messages.as_stored)
        self.live_messages = LiveMessages(writer, clock, messages=self.messages)
        self.answers = BotAnswers(reader, writer, clock, as_stored=self.messages.as_stored)
        self.runs = Runs(reader, writer, clock)
        self.adapters = Adapters(reader, writer, clock)
        self.promotions = Promotions(reader, writer, clock, self.adapters)
        self.lineage = Lineage(reader)
        self.scores = ConversationScores(reader, writer)
        self.deletions = Deletions(reader, writer, clock)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, *, clock: Clock | None = None, scrubbing: bool = True
    ) -> AsyncIterator[Ledger]:
        """Open the database at ``path``, creating or migrating it.

        With ``scrubbing``, addresses, numbers and keys in messages are replaced before they are stored.

        Raises:
            LedgerError: it cannot be opened, is no database, or is of a newer version.
        """
        async with open_database(path) as (reader, writer):
            ledger = cls(path, reader, writer, clock or SystemClock(), scrubbing=scrubbing)
            await ledger.consent.keep_in_step()
            await ledger.channels.keep_in_step()
            yield ledger

    async def checkpoint(self) -> bool:
        """Empty the WAL, so that no deleted text stays behind; tell whether it could be emptied."""
        # SQLite refuses a second checkpoint beside a first at once, whatever the busy timeout is.
        async with self._checkpointing:
            for pause in CHECKPOINT_PAUSES:
                if await checkpoint(self.path):
                    return True
                await asyncio.sleep(pause)
            return await checkpoint(self.path)

    async def scour(self) -> bool:
        """Leave no deleted text in the file or its WAL; tell whether that was possible now.

        Rewrites the file where SQLite left copies in pages that are in use: 100 MB take seconds.

        Raises:
            LedgerError: the file has to be rewritten, and the disk is full.
        """
        if not await self.checkpoint():
            return False
        if await asyncio.to_thread(has_residue, self.path):
            await rewrite(self.path)
            return await self.checkpoint()
        return True

    async def backup_folders(self) -> list[BackupFolder]:
        """Return the folders that hold backups."""
        async with self.reader.execute(
            "SELECT path, noted_up_to, answers_noted_up_to FROM backup_folders ORDER BY path"
        ) as cursor:
            return [BackupFolder(*row) async for row in cursor]

    async def note_backup_folder(self, folder: BackupFolder) -> None:
        """Remember that a folder holds backups, and up to what it has been told."""
        await self.writer.execute(
            "INSERT INTO backup_folders (path, noted_up_to, answers_noted_up_to) VALUES (?, ?, ?)"
            " ON CONFLICT (path) DO UPDATE SET noted_up_to = max(noted_up_to, excluded.noted_up_to),"
            " answers_noted_up_to = max(answers_noted_up_to, excluded.answers_noted_up_to)",
            (folder.path, folder.deletions_up_to, folder.answers_up_to),
        )
