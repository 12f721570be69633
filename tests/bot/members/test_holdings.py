"""What a member reads about what is kept of them: true by origin, and complete."""

from __future__ import annotations

import simcord

from ledger.clock import to_ms
from ledger.people.policy import declared
from ledger.people.quarantine import SLOGAN, WORDS
from ledger.records import Message, Source
from tests.bot.house import MARK, NOON, House, text_of, there


async def test_the_status_names_the_versions_that_learned_from_the_member(house: House) -> None:
    await house.opt_in(house.ann, house.ben)
    message = await house.ann.send(house.general, "I love soup")
    version = await house.candidate()
    [run] = await house.services.ledger.runs.of_guild(house.guild.id)
    await house.services.ledger.runs.learned_from(run.id, [(message.id, house.ann.id)])
    assert version in text_of(await house.ann.slash(house.general, "privacy status"))
    assert version not in text_of(await house.ben.slash(house.general, "privacy status"))


async def test_the_status_says_what_is_kept_until_when_and_how_to_undo_it(house: House) -> None:
    await house.opt_in(house.ann)
    message = await house.ann.send(house.general, "I love soup")
    await house.ask(house.ann, "hello")
    version = await house.candidate()
    ledger = house.services.ledger
    [run] = await ledger.runs.of_guild(house.guild.id)
    await ledger.runs.learned_from(run.id, [(message.id, house.ann.id)])
    text = text_of(await house.ann.slash(house.general, "privacy status"))
    assert f"`{version}`, until <t:" in text
    assert "2, the newest until <t:" in text
    assert '"1, 0"' in text
    for command in ("opt-out", "export", "forget-me"):
        assert f"/privacy {command}" in text


GROUND = "the archive, by vote of the members of 3 May"


async def imported(
    house: House, who: simcord.MemberActor, count: int, ground: str, source: Source = "import"
) -> None:
    """Keep what an import would, on the operator's ground."""
    ledger = house.services.ledger
    await ledger.guilds.ensure(house.guild.id, "Lantern Yard")
    await ledger.channels.ensure(house.general.id, house.guild.id, "general")
    start = await ledger.messages.count(house.guild.id)
    said = [
        Message(
            7_000_000 + start + number,
            house.guild.id,
            house.general.id,
            who.id,
            who.name,
            f"{MARK} {number}",
            to_ms(NOON) + number,
            source=source,
            basis=declared(ground),
        )
        for number in range(count)
    ]
    assert await ledger.messages.add_many(said) == count


async def kept(house: House, who: simcord.MemberActor) -> str:
    """Return the status's field about the messages that are kept."""
    result = await who.slash(house.general, "privacy status")
    assert result.response is not None
    return next(str(f.value) for f in result.response.embeds[0].fields if f.name == "Messages kept")


async def test_who_was_imported_and_never_asked_reads_where_the_words_came_from(house: House) -> None:
    await imported(house, house.ann, 44, GROUND)
    result = await house.ann.slash(house.general, "privacy status")
    text = text_of(result)
    assert "never asked" in text
    assert f"44 that the operator imported, on this ground: {GROUND}" in text
    assert "erases all of them now, wherever they came from" in text
    assert "I keep nothing" not in text
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await house.ann.click(there(asked.response), label="Erase it all")
    assert not house.on_disk(MARK)
    assert await kept(house, house.ann) == "none"


async def test_messages_are_counted_by_where_they_came_from(house: House) -> None:
    await house.opt_in(house.ann, house.boss)
    for text in ("one", "two"):
        await house.ann.send(house.general, text)
    await imported(house, house.ann, 3, GROUND)
    await imported(house, house.ann, 4, "data-package", source="package")
    await imported(house, house.ann, 5, "an older vote")
    await house.boss.slash(house.general, "train teach", question="who?", answer="me")
    text = await kept(house, house.ann)
    assert text.startswith("14, the newest until <t:")
    for line in (
        "• 2 that you agreed to",
        "• 4 from your data package",
        "• 5 that the operator imported, on this ground: an older vote",
        f"• 3 that the operator imported, on this ground: {GROUND}",
    ):
        assert line in text.splitlines()
    assert "• 1 that you taught me" in (await kept(house, house.boss)).splitlines()


async def test_many_long_grounds_fit_and_what_is_left_out_is_counted(house: House) -> None:
    for number in range(7):
        await imported(house, house.ann, 1 + number, f"ground {number} *bold* " + "x" * 400)
    text = await kept(house, house.ann)
    assert len(text) <= 1024
    assert "• 6 that the operator imported on other grounds" in text
    assert "*bold*" not in text.replace("\\*", "")
    assert "erases all of them" in text


async def test_who_is_in_quarantine_is_told_so_and_why_and_what_ends_it(house: House) -> None:
    await house.opt_in(house.ann, house.ben)
    ledger, guild = house.services.ledger, house.guild.id
    assert "Quarantine" not in text_of(await house.ann.slash(house.general, "privacy status"))
    await ledger.quarantine.hold(guild, {house.ann.id: [SLOGAN]}, since=to_ms(NOON), days=14)
    told = text_of(await house.ann.slash(house.general, "privacy status"))
    assert WORDS[SLOGAN] in told
    assert "an admin can end it earlier" in told
    assert "Quarantine" not in text_of(await house.ben.slash(house.general, "privacy status"))
    assert (await house.exported(house.ann))["quarantine"]["reasons"] == [SLOGAN]
    assert (await house.exported(house.ben))["quarantine"] is None
    await ledger.quarantine.allow(guild, house.ann.id, by=str(house.boss.id))
    assert "an admin let you in again" in text_of(await house.ann.slash(house.general, "privacy status"))
    asked = await house.ann.slash(house.general, "privacy forget-me")
    await house.ann.click(asked.response, label="Erase it all")
    assert await ledger.quarantine.of_guild(guild) == {}


async def test_status_and_export_name_what_grew_from_a_version_that_learned_from_the_member(
    house: House,
) -> None:
    await house.opt_in(house.ann, house.ben)
    message = await house.ann.send(house.general, "I love soup")
    other = await house.ben.send(house.general, "I love bread")
    parent = await house.candidate(promoted=True)
    child = await house.candidate(parent=parent)
    ledger = house.services.ledger
    night, first = await ledger.runs.of_guild(house.guild.id)
    await ledger.runs.learned_from(first.id, [(message.id, house.ann.id)])
    await ledger.runs.learned_from(night.id, [(other.id, house.ben.id)])
    hers = text_of(await house.ann.slash(house.general, "privacy status"))
    his = text_of(await house.ben.slash(house.general, "privacy status"))
    assert parent in hers
    assert child in hers
    assert parent not in his
    assert child in his
    assert (await house.exported(house.ann))["runs"] == [first.id, night.id]


async def test_a_version_that_was_only_measured_on_a_members_words_is_not_said_to_have_learned_them(
    house: House,
) -> None:
    await house.opt_in(house.ann)
    message = await house.ann.send(house.general, "I love soup")
    version = await house.candidate()
    ledger = house.services.ledger
    [run] = await ledger.runs.of_guild(house.guild.id)
    await ledger.runs.learned_from(run.id, [(message.id, house.ann.id)], roles={message.id: "exam"})
    text = text_of(await house.ann.slash(house.general, "privacy status"))
    assert version not in text
    assert "measured versions on words of yours that they did not learn" in text
    assert (await house.exported(house.ann))["runs"] == [run.id]
