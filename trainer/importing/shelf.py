"""Puts messages into the ledger: asks the gate, finds whom they address, adds names, writes.

It never writes anything that the gate refused, not even for a moment.
"""

from __future__ import annotations

from dataclasses import replace

from ledger.clock import to_ms
from ledger.records import OPT_IN, PACKAGE_BASIS, Basis, Message, Source
from ledger.store import Ledger
from trainer.importing.addressing import Voices
from trainer.importing.gate import COMMAND, Gate
from trainer.importing.import_report import ImportReport
from trainer.importing.message_drafts import ExportedChannel, MessageDraft, Skipped


class Shelf:
    """The writing half of an import; counts into ``report``."""

    def __init__(
        self, ledger: Ledger, gate: Gate, voices: Voices, report: ImportReport, *, basis: Basis
    ) -> None:
        self._ledger = ledger
        self._gate = gate
        self._voices = voices
        self._report = report
        self._basis = basis
        self._people: dict[int, dict[int, str]] = {}
        self._met: set[ExportedChannel] = set()

    async def store(self, batch: list[MessageDraft | Skipped], source: Source) -> None:
        """Store what may be kept of ``batch`` in one transaction, and count all of it."""
        self._report.read += len(batch)
        self._report.left_out.update(item.left_out for item in batch if isinstance(item, Skipped))
        drafts = [item for item in batch if isinstance(item, MessageDraft)]
        await self._gate.refresh(drafts)  # for each batch: somebody may opt out while a long import runs
        kept: list[MessageDraft] = []
        for draft in drafts:
            if draft.channel not in self._met:
                await self._meet(draft.channel)
            reason = self._reason_against(draft)
            if reason:
                self._report.left_out[reason] += 1
            else:
                kept.append(draft)
        if kept:
            await self._write(kept, source)

    async def introduce_bots(self) -> None:
        """Add the bots of every guild that was written to, so that their commands are recognised."""
        for channel in self._met:
            if channel.channel_id in self._report.channels:
                bots = self._voices.of(channel).bots
                await self._introduce(channel.guild_id, bots, is_bot=True)

    def _reason_against(self, draft: MessageDraft) -> str:
        reason = self._gate.reason_against(draft)
        if not reason and self._voices.of(draft.channel).is_command(draft.message.content):
            return COMMAND
        return reason

    async def _meet(self, channel: ExportedChannel) -> None:
        """Learn whom the ledger already knows in a channel that is new to this import."""
        people = await self._ledger.people.names(channel.guild_id)
        self._people.setdefault(channel.guild_id, people)
        self._voices.of(channel).know(people, await self._ledger.people.bots(channel.guild_id))
        self._met.add(channel)

    async def _write(self, kept: list[MessageDraft], source: Source) -> None:
        for channel in {draft.channel for draft in kept}:
            await self._ensure(channel)
        for guild_id in {draft.channel.guild_id for draft in kept}:
            authors = [draft.message for draft in kept if draft.channel.guild_id == guild_id]
            await self._introduce(guild_id, {m.author_id: m.author_name for m in authors}, is_bot=False)
        messages = [self._finished(draft, source) for draft in kept]
        added = await self._ledger.messages.add_many(messages)
        self._report.added += added
        self._report.already_there += len(kept) - added
        self._report.addressed += sum(bool(message.mentions) for message in messages)

    def _finished(self, draft: MessageDraft, source: Source) -> Message:
        """Return the message with its addressees, its source and the basis that it is kept on."""
        message = draft.message
        named = self._voices.of(draft.channel).addressed(message.content)
        mentions = dict.fromkeys((*message.mentions, *named))
        mentions.pop(message.author_id, None)  # who names themself addresses nobody
        basis = self._basis or (PACKAGE_BASIS if source == "package" else OPT_IN)
        now = to_ms(self._ledger.clock.now())
        return replace(message, mentions=tuple(mentions), source=source, basis=basis, imported_at=now)

    async def _ensure(self, channel: ExportedChannel) -> None:
        """Add guild and channel if they are new; an old export must not undo a renaming."""
        if channel.guild_id not in await self._ledger.guilds.all():
            await self._ledger.guilds.ensure(channel.guild_id, channel.guild_name)
        known = await self._ledger.channels.get(channel.channel_id)
        if known is None or (known.parent_id is None and channel.parent_id is not None):
            await self._ledger.channels.ensure(
                channel.channel_id,
                channel.guild_id,
                channel.channel_name if known is None else known.name,
                parent_id=channel.parent_id,
            )
        self._report.guilds.add(channel.guild_id)
        self._report.channels.add(channel.channel_id)

    async def _introduce(self, guild_id: int, people: dict[int, str], *, is_bot: bool) -> None:
        known = self._people[guild_id]
        strangers = {person: name for person, name in people.items() if person not in known}
        if strangers:
            rows = [(person, name, is_bot) for person, name in strangers.items()]
            await self._ledger.people.ensure_many(guild_id, rows)
            known.update(strangers)
