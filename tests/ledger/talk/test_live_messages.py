"""What is said live, in batches: all of those who agree in one transaction, and nobody else's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from ledger.errors import LedgerError
from ledger.forgetting.deletion_path import Forgetting
from ledger.records import Heard, Message
from ledger.store import Ledger

Make = Callable[..., Message]


async def heard(ledger: Ledger, message: Message, **fields: Any) -> Heard:
    """Return the message as it is heard under its author's present answer."""
    agreement = (await ledger.consent.agreements(message.guild_id)).get(message.author_id)
    names: dict[str, Any] = {
        "guild_name": "Lantern Yard",
        "channel_name": "lounge",
        "mode": "listen",
        "parent_id": None,
        "agreement": agreement.number if agreement else 0,
    }
    return Heard(message, **{**names, **fields})


async def stored(ledger: Ledger, guild_id: int = 1) -> list[int]:
    return [each.id for each in await ledger.messages.of_guild(guild_id)]


async def test_a_batch_is_one_job_with_its_guild_its_channels_and_its_authors_names(
    ledger: Ledger, message: Make
) -> None:
    await ledger.guilds.ensure(1, "before")
    for author in (7, 8):
        await ledger.consent.opt_in(1, author)
    batch = [
        await heard(ledger, message(1)),
        await heard(ledger, message(2, author_id=8, author_name="Robin")),
        await heard(ledger, message(3, channel_id=101), channel_name="side talk", parent_id=100),
        await heard(ledger, message(4, author_name="Wren the second", mentions=(8,), reply_to=2)),
    ]
    statements: list[str] = []
    connection: aiosqlite.Connection = ledger.writer._connection
    await connection.set_trace_callback(statements.append)
    assert await ledger.live_messages.store(batch) == 4
    await connection.set_trace_callback(None)
    assert statements.count("COMMIT") == 1
    assert await ledger.live_messages.store(batch) == 0
    assert await ledger.guilds.all() == {1: "Lantern Yard"}
    assert await ledger.people.names(1) == {7: "Wren the second", 8: "Robin"}
    side = await ledger.channels.get(101)
    assert side is not None
    assert (side.name, side.mode, side.parent_id, side.chosen) == ("side talk", "listen", 100, False)
    last = await ledger.messages.get(4)
    assert last is not None
    assert (last.content, last.basis, last.mentions, last.reply_to) == ("good evening", "opt-in", (8,), 2)
    assert await stored(ledger) == [1, 2, 4, 3]  # by channel


async def test_private_values_are_taken_out_of_words_and_names_outside_of_the_loops_thread(
    house: Ledger, message: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.consent.opt_in(1, 7)
    threads = set()
    as_stored = house.messages.as_stored

    def noted(content: str) -> str:
        threads.add(threading.get_ident())
        return as_stored(content)

    monkeypatch.setattr(house.messages, "as_stored", noted)
    said = message(1, "write to heron@example.org", author_name="heron@example.org")
    await house.live_messages.store([await heard(house, said, channel_name="ask heron@example.org")])
    [kept] = await house.messages.of_guild(1)
    assert (kept.content, kept.author_name) == ("write to [email]", "[email]")
    channel = await house.channels.get(100)
    assert channel is not None
    assert channel.name == "ask [email]"
    assert threads
    assert threading.get_ident() not in threads


async def test_of_a_batch_only_those_who_agree_when_it_is_written_are_stored(
    house: Ledger, message: Make
) -> None:
    for author in (7, 8, 9):
        await house.consent.opt_in(1, author)
    batch = [await heard(house, message(number, author_id=number)) for number in (6, 7, 8, 9)]
    await house.consent.opt_out(1, 8)
    await house.consent.opt_in(1, 9, channels=[101])
    assert await house.live_messages.store(batch) == 1
    assert await stored(house) == [7]
    assert await house.people.names(1) == {7: "Wren"}


async def test_an_answer_that_comes_while_the_batch_is_prepared_counts(house: Ledger, message: Make) -> None:
    await house.consent.opt_in(1, 7)
    batch = [await heard(house, message(1))]
    storing = asyncio.create_task(house.live_messages.store(batch))
    await asyncio.sleep(0)  # its words are being looked through in a thread
    await house.consent.opt_out(1, 7)
    assert await storing in (0, 1)
    # Whichever was first: what was stored before the no stays, as it does today, and nothing after it.
    assert await house.live_messages.store([await heard(house, message(2))]) == 0


async def test_who_was_forgotten_meanwhile_does_not_come_back_by_agreeing_again(
    house: Ledger, message: Make, tmp_path: Path
) -> None:
    forgetting = Forgetting(house, datasets_dir=tmp_path / "d", runs_dir=tmp_path / "r")
    await house.consent.opt_in(1, 7)
    before = [await heard(house, message(1))]
    await forgetting.person(1, 7, asked_by="member")
    await house.consent.opt_in(1, 7)
    assert await house.live_messages.store(before) == 0
    assert await house.people.names(1) == {}
    assert await house.live_messages.store([await heard(house, message(2))]) == 1
    # A wider yes in between is no refusal.
    again = [await heard(house, message(3))]
    await house.consent.opt_in(1, 7, channels=[100, 101])
    await house.consent.opt_in(1, 7)
    assert await house.live_messages.store(again) == 1
    assert await stored(house) == [2, 3]


async def test_a_batch_that_cannot_be_stored_leaves_nothing_of_it_behind(
    house: Ledger, message: Make
) -> None:
    await house.consent.opt_in(1, 7)
    sound = await heard(house, message(1))
    for odd, error in ((message(2, created_at=-1), LedgerError), (message(2, "\ud83d"), UnicodeEncodeError)):
        with pytest.raises(error):
            await house.live_messages.store([sound, await heard(house, odd, channel_name="new name")])
    assert await stored(house) == []
    channel = await house.channels.get(100)
    assert channel is not None
    assert channel.name == "lounge"
    assert await house.live_messages.store([]) == 0
