"""Whoever is forgotten reads what was erased, once, however late Discord takes it."""

from __future__ import annotations

import contextlib

import pytest
from simcord import ResponseMessage

from ledger.errors import LedgerError
from ledger.records import Role
from tests.bot.house import MARK, House, text_of, there


async def too_late(house: House, message: ResponseMessage | None) -> None:
    """Press where Discord has given up waiting for an answer."""
    house.env.inject_error("POST", "/interactions/*", status=404, code=10062, times=None)
    with contextlib.suppress(Exception):  # nobody was answered, which is the point
        await house.ann.click(there(message), label="Erase it all")
    house.env.backend.faults.clear()


async def owed(house: House) -> None:
    house.services.clock.advance(minutes=2)  # type: ignore[attr-defined]
    await house.bot.receipts.deliver_owed()


async def test_an_erasure_counts_though_its_acknowledgement_comes_too_late_and_the_receipt_follows(
    house: House,
) -> None:
    await house.opt_in(house.ann)
    await house.ann.send(house.general, MARK)
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await too_late(house, asked.response)
    assert not house.on_disk(MARK)
    for _ in range(3):
        await owed(house)
    [receipt] = house.said(house.ann.user.dm_channel)
    assert "Erased: 1 messages" in receipt
    assert "Lantern Yard" in receipt


async def test_a_receipt_is_owed_until_discord_takes_it(house: House) -> None:
    await house.opt_in(house.ann)
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await too_late(house, asked.response)
    house.env.inject_error("POST", "/users/@me/channels", status=503, times=1)
    await owed(house)
    assert await house.services.ledger.deletions.untold(since=0, until=2**62)
    await owed(house)
    assert len(house.said(house.ann.user.dm_channel)) == 1


async def test_a_receipt_is_sent_once_though_that_cannot_be_noted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.opt_in(house.ann)
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await too_late(house, asked.response)
    deletions = house.services.ledger.deletions
    told = deletions.told

    async def full(deletion_id: int) -> None:
        raise LedgerError("The database could not be written.")

    monkeypatch.setattr(deletions, "told", full)
    for _ in range(3):
        with pytest.raises(LedgerError):
            await owed(house)
    monkeypatch.setattr(deletions, "told", told)
    await owed(house)
    assert len(house.said(house.ann.user.dm_channel)) == 1
    assert await deletions.untold(since=0, until=2**62) == []


async def test_somebody_who_got_their_receipt_at_once_does_not_get_it_again(house: House) -> None:
    await house.opt_in(house.ann)
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await house.ann.click(there(asked.response), label="Erase it all")
    await owed(house)
    assert await house.services.ledger.deletions.untold(since=0, until=2**62) == []


async def test_the_receipt_tells_what_was_erased(house: House) -> None:
    await house.opt_in(house.ann)
    await house.ann.send(house.general, "mine")
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await house.ann.click(there(asked.response), label="Erase it all")
    assert "Erased: 1 messages" in text_of(await house.ann.slash(house.general, "privacy receipt"))
    assert (await house.exported(house.ann))["forgotten"][0]["counts"]["messages"] == 1


async def test_the_receipt_names_what_grew_from_what_learned_the_words_and_what_was_only_measured(
    house: House,
) -> None:
    await house.opt_in(house.ann)
    message = await house.ann.send(house.general, "mine")
    measured = await house.candidate()
    parent = await house.candidate(promoted=True)
    child = await house.candidate(parent=parent, promoted=True)
    ledger = house.services.ledger
    roles: tuple[Role, ...] = ("exam", "target")
    for version, role in zip((measured, parent), roles, strict=True):
        run = (await ledger.adapters.require(house.guild.id, version)).run_id
        await ledger.runs.learned_from(run, [(message.id, house.ann.id)], roles={message.id: role})
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await house.ann.click(there(asked.response), label="Erase it all")
    text = text_of(await house.ann.slash(house.general, "privacy receipt"))
    assert f"`{parent}` had learned from it and was deleted on" in text
    assert f"`{child}` had learned from it. It serves until the next version takes its place" in text
    assert f"`{measured}`" not in text
    assert "One more version was only measured on some of it" in text
    [kept] = [a for a in await ledger.adapters.of_guild(house.guild.id) if a.version == measured]
    assert kept.state != "deleted"
