"""Promotion and rollback by hand: either ledger and engine both change, or neither does."""

from __future__ import annotations

from bot.serving.served_versions import ServedVersions
from ledger.errors import AdapterError
from ledger.learned.version_names import short_name
from ledger.records import Adapter
from ledger.store import Ledger


class Promoting:
    """Changes which version serves; each call returns what the admin should read."""

    def __init__(self, ledger: Ledger, serving: ServedVersions) -> None:
        self._ledger = ledger
        self._serving = serving

    async def let_serve(self, guild_id: int, version: str, *, by: int) -> str:
        """Let a version serve.

        Raises:
            AdapterError: the guild has no such version, or the engine refuses it; then the version that
                served before serves again.
        """
        before = await self._ledger.adapters.champion(guild_id)
        adapter = await self._ledger.adapters.require(guild_id, version)
        version, name = adapter.version, named(adapter)
        self._serving.retry(version)  # its files may have been mended since the engine refused it
        # The ledger first, which the engine follows: it alone can refuse what learned from deleted words.
        await self._ledger.promotions.promote(guild_id, version, by=str(by))
        await self._serving.sync()
        refusal = self._serving.refusal(version)
        if refusal is None and self._serving.version(guild_id) == version:
            return f"{name} serves now."
        if refusal is None:
            return f"{name} is promoted; it serves as soon as the engine is up (see `/bot status`)."
        # Undo the promotion, unless the version was the champion already: then nothing was promoted.
        if before is None or before.version != version:
            await self._ledger.promotions.rollback(guild_id, by="engine refused")
            await self._serving.sync()
        raise AdapterError(refusal)

    async def roll_back(self, guild_id: int, *, by: int) -> str:
        """Go back to what served before.

        Raises:
            AdapterError: nothing is promoted.
        """
        adapter = await self._ledger.promotions.rollback(guild_id, by=str(by))
        await self._serving.sync()
        return f"Rolled back: {named(adapter) if adapter else 'the bare base model'} serves now."

    async def roll_back_from(self, guild_id: int, version: str, *, by: int) -> str:
        """Go back to what served before ``version``.

        Raises:
            AdapterError: the version is not this guild's, or is not serving.
        """
        adapter = await self._ledger.adapters.require(guild_id, version)
        if adapter.state != "champion":
            raise AdapterError(f"`{version}` no longer serves; see /adapter list.")
        return await self.roll_back(guild_id, by=by)


def named(adapter: Adapter) -> str:
    """Return the version as people read it."""
    return short_name(adapter.version, adapter.created_at)
