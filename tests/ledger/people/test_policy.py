"""Who may be learned from: SQL, Python, imports and nights answer one table of cases alike."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pytest

from ledger.people import policy
from ledger.people.policy import Objection, declared, taught_by
from ledger.records import NOT_STORED, OPT_IN, PACKAGE_BASIS, Basis, Message, Source
from ledger.store import Ledger
from trainer.importing.gate import NO_CONSENT as NOT_IMPORTED
from trainer.importing.gate import OPTED_OUT as IMPORT_REFUSED
from trainer.importing.gate import Gate
from trainer.importing.message_drafts import ExportedChannel, MessageDraft
from trainer.preparing.selection import NO_CONSENT as NOT_LEARNED
from trainer.preparing.selection import OPTED_OUT as LEARNING_REFUSED
from trainer.preparing.selection import Rules

GUILD, USER, HERE, ELSEWHERE = 1, 7, 100, 101
LOGS = declared("published logs")


class Case(NamedTuple):
    """What a member said, oldest first; a yes names its channels, None is a no."""

    words: tuple[tuple[int, ...] | None, ...]
    agrees: bool
    refuses: bool
    opted_out: bool
    undeclared: Objection | None
    declared: Objection | None


CASES = {
    "never asked": Case((), False, False, False, "not agreed", None),
    "a yes": Case(((),), True, False, False, None, None),
    "a yes for this channel": Case(((HERE, ELSEWHERE),), True, False, False, None, None),
    "a yes for another channel": Case(((ELSEWHERE,),), False, True, False, "not agreed", "not agreed"),
    "a no": Case((None,), False, True, True, "opted out", "opted out"),
    "a no after a yes": Case(((), None), False, True, True, "opted out", "opted out"),
    "a yes after a no": Case((None, ()), True, False, False, None, None),
    "a narrower yes after a yes": Case(((), (ELSEWHERE,)), False, True, False, "not agreed", "not agreed"),
    "a wider yes after a narrow one": Case(((ELSEWHERE,), ()), True, False, False, None, None),
}
KINDS: list[tuple[Source, Basis, bool, bool]] = [
    # source, basis, declared, locked
    ("discord", OPT_IN, False, True),
    ("discord", NOT_STORED, False, True),
    ("discord", LOGS, False, True),
    ("local", OPT_IN, False, False),
    ("import", OPT_IN, False, True),
    ("import", LOGS, True, False),
    ("import", PACKAGE_BASIS, False, True),
    ("jsonl", OPT_IN, False, True),
    ("jsonl", LOGS, True, False),
    ("package", PACKAGE_BASIS, False, False),
    ("package", LOGS, True, False),
    ("example", taught_by(USER), True, False),
]


@pytest.fixture
async def said(house: Ledger, case: str) -> Case:
    """The member's words, given to the ledger one after the other; others say the opposite elsewhere."""
    for channels in CASES[case].words:
        if channels is None:
            await house.consent.opt_out(GUILD, USER)
        else:
            await house.consent.opt_in(GUILD, USER, channels=channels)
    await house.consent.opt_in(11, USER)
    await house.consent.opt_out(GUILD, USER + 1)
    return CASES[case]


def written(source: Source = "import", basis: Basis = LOGS) -> Message:
    return Message(1, GUILD, HERE, USER, "Wren", "how are you?", 1_700_000_000, source=source, basis=basis)


async def in_sql(ledger: Ledger, condition: str) -> bool:
    names = {"guild_id": GUILD, "user_id": USER, "channel_id": HERE}
    async with ledger.reader.execute(f"SELECT {condition}", names) as cursor:
        [row] = await cursor.fetchall()
    return bool(row[0])


@pytest.mark.parametrize("case", CASES)
async def test_sql_and_python_read_a_members_word_alike(house: Ledger, said: Case) -> None:
    word = await house.consent.current(GUILD, USER)
    assert policy.agrees(word, HERE) is said.agrees
    assert policy.refuses(word, HERE) is said.refuses
    assert policy.opted_out(word) is said.opted_out
    assert await in_sql(house, policy.agrees_sql(":user_id")) is said.agrees
    assert await in_sql(house, policy.refuses_sql(":user_id")) is said.refuses
    assert await in_sql(house, policy.opted_out_sql(":user_id")) is said.opted_out
    assert policy.objection(word, HERE, is_declared=False) == said.undeclared
    assert policy.objection(word, HERE, is_declared=True) == said.declared


@pytest.mark.parametrize("case", CASES)
async def test_a_no_since_an_answer_outweighs_the_yes_that_followed_it(house: Ledger, said: Case) -> None:
    allowed = [
        await in_sql(house, policy.agrees_since_sql(":user_id", str(number)))
        for number in await numbers_of_answers(house)
    ]
    agreeing = [channels is not None and (not channels or HERE in channels) for channels in said.words]
    assert allowed == [said.agrees and all(agreeing[place + 1 :]) for place in range(len(agreeing))]
    # Said before any answer: whatever was refused since counts.
    assert await in_sql(house, policy.agrees_since_sql(":user_id", "0")) is (said.agrees and all(agreeing))


async def numbers_of_answers(ledger: Ledger) -> list[int]:
    async with ledger.reader.execute(
        "SELECT id FROM consent_events WHERE guild_id = ? AND user_id = ? ORDER BY id", (GUILD, USER)
    ) as cursor:
        return [int(row["id"]) async for row in cursor]


@pytest.mark.parametrize("case", CASES)
async def test_what_is_written_down_follows_the_word(house: Ledger, said: Case) -> None:
    assert await house.messages.hear(written("discord", OPT_IN)) is said.agrees
    assert await house.messages.add(replace(written(), id=2)) is not said.refuses


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("is_declared", [False, True])
async def test_imports_and_nights_follow_the_word(house: Ledger, said: Case, is_declared: bool) -> None:
    wanted = said.declared if is_declared else said.undeclared
    message = written("import", LOGS if is_declared else OPT_IN)
    gate = Gate(house, is_declared=is_declared, guild_id=None)
    draft = MessageDraft(ExportedChannel(GUILD, "House", HERE, "hall"), message, ("Wren",))
    await gate.refresh([draft])
    imported = {"opted out": IMPORT_REFUSED, "not agreed": NOT_IMPORTED, None: ""}
    assert gate.reason_against(draft) == imported[wanted]
    rules = Rules(await house.consent.in_force(GUILD), {}, discord_permission="a letter")
    learned = {"opted out": LEARNING_REFUSED, "not agreed": NOT_LEARNED, None: ""}
    assert rules.reason_against(message) == learned[wanted]


@pytest.mark.parametrize(("source", "basis", "is_declared", "is_locked"), KINDS)
def test_source_and_basis_say_what_is_declared_and_what_is_locked(
    source: Source, basis: Basis, is_declared: bool, is_locked: bool
) -> None:
    message = written(source, basis)
    assert policy.is_declared(message) is is_declared
    assert policy.is_locked(message, "") is is_locked
    assert policy.is_locked(message, " ") is is_locked
    assert not policy.is_locked(message, "a letter")


async def test_what_an_admin_taught_is_found_by_its_basis(house: Ledger) -> None:
    await house.messages.add(written("example", taught_by(USER)))
    await house.messages.add(replace(written("example", taught_by(USER + 1)), id=2))
    found = policy.taught_by_any(":authors")
    async with house.reader.execute(f"SELECT id FROM messages WHERE {found}", {"authors": "[7]"}) as cursor:
        assert [row["id"] async for row in cursor] == [1]
