"""Whose messages may be kept, and where: the one part of an import that says no.

About a person :mod:`ledger.people.policy` decides; a declared basis covers all people of an export.
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.clock import FIRST_MS, LAST_MS, to_ms
from ledger.people.policy import Objection, objection
from ledger.records import Channel, ConsentEvent, Message
from ledger.store import Ledger
from trainer.importing.message_drafts import ExportedChannel, MessageDraft

COMMAND = "command to a bot"
NO_CONSENT = "author has not opted in"
OPTED_OUT = "author has opted out"
IGNORED = "channel is ignored"
ORPHAN = "in a thread of a channel that nobody knows"
OTHER_SERVER = "another server"
NOT_HERE = "in a channel that the bot may not learn from"
MOVED = "channel belongs to another server"
NO_DATE = "dated before 1970 or in the future"
TOO_LONG = "longer than any message"
_OBJECTIONS: Mapping[Objection, str] = {"opted out": OPTED_OUT, "not agreed": NO_CONSENT}

DAY_MS = 86_400_000
"""How far apart clocks and time zones may be: nobody has written yet what is dated later."""
MAX_CHARACTERS = 32_000
"""Discord allows 4,000; elsewhere people write more, but not a book."""


class Gate:
    """Decides message by message; :meth:`refresh` reads consent and channels again."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        is_declared: bool,
        guild_id: int | None,
        channels: frozenset[int] | None = None,
    ) -> None:
        """``channels``: take only these and their threads."""
        self._ledger = ledger
        self._only = channels
        self._is_declared = is_declared
        self._guild_id = guild_id
        self._words: dict[int, dict[int, ConsentEvent]] = {}
        self._channels: dict[int, Channel | None] = {}

    async def refresh(self, drafts: list[MessageDraft]) -> None:
        """Read what is in force now, since a member may opt out while a long import runs."""
        for guild_id in {draft.channel.guild_id for draft in drafts}:
            self._words[guild_id] = await self._ledger.consent.in_force(guild_id)
        for channel in {draft.channel for draft in drafts}:
            known = await self._ledger.channels.get(channel.channel_id)
            self._channels[channel.channel_id] = known
            parent_id = _parent(channel, known)
            if parent_id is not None:
                self._channels[parent_id] = await self._ledger.channels.get(parent_id)

    def reason_against(self, draft: MessageDraft) -> str:
        """Return the reason to leave the message out, or an empty text."""
        if self._guild_id is not None and draft.channel.guild_id != self._guild_id:
            return OTHER_SERVER
        # What the reader saw comes before consent, so that a bot's line counts as a bot's and not as that of
        # an author who has not opted in.
        if draft.left_out:
            return draft.left_out
        if not self._is_dated(draft.message):
            return NO_DATE
        if len(draft.message.content) > MAX_CHARACTERS:
            return TOO_LONG
        return self._channel(draft.channel) or self._consent(draft)

    def _channel(self, channel: ExportedChannel) -> str:
        """Return why the channel is closed. A thread follows its channel, and an unknown one is closed."""
        known = self._channels[channel.channel_id]
        parent_id = _parent(channel, known)
        if self._only is not None and self._only.isdisjoint((channel.channel_id, parent_id or 0)):
            return NOT_HERE
        if channel.is_thread and parent_id is None:
            return ORPHAN
        parent = None if parent_id is None else self._channels[parent_id]
        for each in (known, parent):
            if each is not None and each.guild_id != channel.guild_id:
                return MOVED
            if each is not None and each.mode == "ignore":
                return IGNORED
        return ""

    def _is_dated(self, message: Message) -> bool:
        # One message of the year 9999 once ended every night of its server.
        latest = min(to_ms(self._ledger.clock.now()) + DAY_MS, LAST_MS)
        return all(FIRST_MS <= at <= latest for at in (message.created_at, message.edited_at or 0))

    def _consent(self, draft: MessageDraft) -> str:
        word = self._words[draft.channel.guild_id].get(draft.message.author_id)
        against = objection(word, draft.channel.channel_id, is_declared=self._is_declared)
        return _OBJECTIONS[against] if against else ""


def _parent(channel: ExportedChannel, known: Channel | None) -> int | None:
    """Return a thread's channel, as the export or the ledger knows it."""
    if channel.parent_id is not None:
        return channel.parent_id
    return known.parent_id if known is not None else None
