"""Whose messages may be kept, and where: the one place of an import that says no.

An opt-out outweighs everything. Beyond that a declared basis covers all people of an export;
without one only those who have opted in, in the channels that they opted in for.
"""

from __future__ import annotations

from ledger.clock import FIRST_MS, LAST_MS, to_ms
from ledger.records import Channel, ConsentEvent, Message
from ledger.store import Ledger
from trainer.importing.drafts import Draft

COMMAND = "command to a bot"
NO_CONSENT = "author has not opted in"
OPTED_OUT = "author has opted out"
IGNORED = "channel is ignored"
OTHER_SERVER = "another server"
MOVED = "channel belongs to another server"
NO_DATE = "dated before 1970 or in the future"
TOO_LONG = "longer than any message"

DAY_MS = 86_400_000
"""How far clocks and time zones may be apart: what is dated later was not written yet."""
MAX_CHARACTERS = 32_000
"""Discord takes 4,000; elsewhere people write more, but nobody a book."""


class Gate:
    """Decides message by message; :meth:`refresh` reads consent and channels anew."""

    def __init__(self, ledger: Ledger, *, basis: str, guild_id: int | None) -> None:
        self._ledger = ledger
        self._basis = basis
        self._guild_id = guild_id
        self._answers: dict[int, dict[int, ConsentEvent]] = {}
        self._channels: dict[int, Channel | None] = {}

    async def refresh(self, drafts: list[Draft]) -> None:
        """Read what is in force now: a member may opt out while a long import runs."""
        for guild_id in {draft.place.guild_id for draft in drafts}:
            self._answers[guild_id] = await self._ledger.consent.in_force(guild_id)
        for channel_id in {draft.place.channel_id for draft in drafts}:
            self._channels[channel_id] = await self._ledger.channels.get(channel_id)

    def reason_against(self, draft: Draft) -> str:
        """Return why the message must be left out, or an empty text."""
        if self._guild_id is not None and draft.place.guild_id != self._guild_id:
            return OTHER_SERVER
        if draft.left_out:
            return draft.left_out
        if not self._is_dated(draft.message):
            return NO_DATE
        if len(draft.message.content) > MAX_CHARACTERS:
            return TOO_LONG
        channel = self._channels[draft.place.channel_id]
        if channel is not None and channel.guild_id != draft.place.guild_id:
            return MOVED
        if channel is not None and channel.mode == "ignore":
            return IGNORED
        return self._consent(draft)

    def _is_dated(self, message: Message) -> bool:
        latest = min(to_ms(self._ledger.clock.now()) + DAY_MS, LAST_MS)
        return all(FIRST_MS <= at <= latest for at in (message.created_at, message.edited_at or 0))

    def _consent(self, draft: Draft) -> str:
        answer = self._answers[draft.place.guild_id].get(draft.message.author_id)
        if answer is not None and not answer.granted:
            return OPTED_OUT
        if answer is not None and answer.channels and draft.place.channel_id not in answer.channels:
            return NO_CONSENT  # a yes for some channels is a no for the others, whatever was declared
        return "" if self._basis or answer is not None else NO_CONSENT
