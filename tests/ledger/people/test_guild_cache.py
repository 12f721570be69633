"""What is kept in memory of a guild: read once, in step with commits, and never older than a read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ledger.people.guild_cache import GuildCache


class Shelf:
    """Rows that a cache reads, as slowly as a test wants."""

    def __init__(self) -> None:
        self.rows = {1: {7: "yes"}, 2: {}}
        self.reads: list[int] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def read(self, guild_id: int) -> dict[int, str]:
        self.reads.append(guild_id)
        found = dict(self.rows[guild_id])
        await self.go_on.wait()
        return found


async def test_a_guild_is_read_once_even_if_there_is_nothing_to_know() -> None:
    shelf = Shelf()
    cache = GuildCache(shelf.read)
    assert cache.peek(1) is None
    for _ in range(2):
        assert await cache.get(1) == {7: "yes"}
        assert await cache.get(2) == {}
    assert shelf.reads == [1, 2]
    assert cache.peek(2) == {}


async def test_what_a_commit_wrote_is_taken_over_for_guilds_that_are_known() -> None:
    shelf = Shelf()
    cache = GuildCache(shelf.read)
    await cache.get(1)
    cache.put(1, 8, "yes")
    cache.put(1, 7, None)
    cache.put(1, 9, None)
    cache.put(2, 7, "not read yet")
    assert cache.peek(1) == {8: "yes"}
    assert cache.peek(2) is None
    cache.clear()
    assert cache.peek(1) is None
    assert await cache.get(1) == {7: "yes"}


async def test_a_read_that_a_change_overtook_is_not_kept() -> None:
    shelf = Shelf()
    cache = GuildCache(shelf.read)
    changes: list[Callable[[], None]] = [lambda: cache.put(1, 7, None), cache.clear]
    for change in changes:
        shelf.go_on.clear()
        reading = asyncio.create_task(cache.get(1))
        await asyncio.sleep(0)
        change()
        shelf.go_on.set()
        assert await reading == {7: "yes"}  # as of when it was read
        assert cache.peek(1) is None


async def test_a_change_after_two_reads_at_once_reaches_what_both_have_left() -> None:
    shelf = Shelf()
    cache = GuildCache(shelf.read)
    shelf.go_on.clear()
    both = [asyncio.create_task(cache.get(1)) for _ in range(2)]
    await asyncio.sleep(0)
    shelf.go_on.set()
    await asyncio.gather(*both)
    cache.put(1, 7, None)
    assert await cache.get(1) == {}
