"""What members agree to, by button or by command, each for themselves."""

from __future__ import annotations

import hashlib

from bot.client import NightschoolBot
from bot.members.notice import WORDS
from ledger.people.consent_history import WORDING_VERSION
from tests.bot.house import House, text_of


async def test_opting_in_says_what_is_agreed_to(house: House) -> None:
    result = await house.ann.slash(house.general, "privacy opt-in")
    text = text_of(result)
    for word in (
        "keep what you write",
        "never direct messages",
        "imported",
        "opt-out",
        "export",
        "forget-me",
    ):
        assert word in text
    [event] = await house.services.ledger.consent.history(house.guild.id, house.ann.id)
    assert event.granted
    assert event.wording


async def test_each_presses_the_notice_for_themselves_and_still_after_a_restart(house: House) -> None:
    await house.boss.slash(house.general, "consent notice")
    [notice] = [message for message in house.last() if message.components]
    pressed = await house.ann.click(notice, label="Yes, learn from me")
    assert pressed.ephemeral
    await house.env.restart_bot(NightschoolBot(house.services))
    pressed = await house.ben.click(notice, label="No")
    assert pressed.ephemeral
    assert await house.services.ledger.consent.consenting(house.guild.id) == {house.ann.id}
    assert await house.services.ledger.consent.refusing(house.guild.id) == {house.ben.id}


def test_other_words_are_another_version_of_the_wording() -> None:
    known = {"2026-11-1": "d5464269f657aead", "2026-11-2": "3293e7e8d34540c0"}
    assert hashlib.sha256(WORDS.encode()).hexdigest()[:16] == known[WORDING_VERSION]


async def test_consent_for_a_second_channel_comes_to_the_first_and_a_yes_for_all_can_be_narrowed(
    house: House,
) -> None:
    kitchen, attic = (house.guild.create_text_channel(name) for name in ("kitchen", "attic"))
    for channel in (house.general, kitchen):
        await house.ann.slash(house.general, "privacy opt-in", channel=channel)
    for channel in (house.general, kitchen, attic):
        await house.ann.send(channel, f"said in {channel.id}")
    stored = await house.services.ledger.messages.of_guild(house.guild.id)
    assert {m.channel_id for m in stored} == {house.general.id, kitchen.id}
    await house.ann.slash(house.general, "privacy opt-in")
    await house.ann.slash(house.general, "privacy opt-in", channel=attic)
    consent = house.services.ledger.consent
    assert await consent.allows(house.guild.id, house.ann.id, attic.id)
    assert not await consent.allows(house.guild.id, house.ann.id, house.general.id)
