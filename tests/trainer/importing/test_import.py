from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger.clock import to_ms
from ledger.errors import ImportRefused
from ledger.store import Ledger
from trainer.importing import import_paths
from trainer.importing.gate import (
    COMMAND,
    IGNORED,
    MOVED,
    NO_CONSENT,
    NO_DATE,
    OPTED_OUT,
    OTHER_SERVER,
    TOO_LONG,
)
from trainer.importing.message_drafts import BOT, DELETED, DELETED_USER_ID, ImportProgress

BASIS = "the club's archive, by vote of its members"


def talk(exports: Any, count: int = 6) -> Any:
    people = (exports.ada, exports.bo)
    return exports.chat([exports.message(n, people[n % 2], f"moss fact {n}") for n in range(count)])


async def test_an_import_stores_messages_names_source_and_basis(ledger: Ledger, exports: Any) -> None:
    report = await import_paths(ledger, [exports.write("a.json", talk(exports))], basis=BASIS)
    stored = await ledger.messages.of_guild(exports.guild)
    assert (report.read, report.added, report.already_there, report.exit_code) == (6, 6, 0, 0)
    assert [message.content for message in stored] == [f"moss fact {n}" for n in range(6)]
    assert {(message.source, message.basis) for message in stored} == {("import", BASIS)}
    assert {message.author_name for message in stored} == {"Ada", "Bo"}
    assert await ledger.guilds.all() == {exports.guild: "Moss Club"}
    assert [channel.name for channel in await ledger.channels.of_guild(exports.guild)] == ["pond"]


async def test_importing_twice_adds_nothing(ledger: Ledger, exports: Any) -> None:
    line = {
        "guild": "Moss Club",
        "channel": "pond",
        "author": "Ada",
        "content": "hm",
        "timestamp": 1714557600,
    }
    member = {"id": str(exports.ada), "username": "ada"}
    words = [{"ID": 901, "Timestamp": "2024-05-01 10:00:00", "Contents": "from the package"}]
    guild = {"id": str(exports.guild), "name": "Moss Club"}
    files = [
        exports.write("a.json.gz", talk(exports)),
        exports.write("b.jsonl", json.dumps(line) + "\n"),
        exports.package(
            "c.zip",
            {
                "Account/user.json": member,
                "Messages/c51/channel.json": {"id": "51", "type": 0, "name": "shore", "guild": guild},
                "Messages/c51/messages.json": words,
            },
        ),
    ]
    first = await import_paths(ledger, files, basis=BASIS)
    again = await import_paths(ledger, files, basis=BASIS)
    assert (first.added, first.already_there) == (8, 0)
    assert (again.added, again.already_there) == (0, 8)
    assert again.problems == []


async def test_parts_of_one_channel_in_a_folder_are_read_in_their_order(ledger: Ledger, exports: Any) -> None:
    for part in range(1, 12):
        name = f"deep/Moss Club - pond [part {part}].json"
        exports.write(name, exports.chat([exports.message(part, exports.ada, f"part {part}")]))
    exports.write("deep/notes.txt", "not an export")
    seen: list[str] = []

    def note(progress: ImportProgress) -> None:
        if progress.file.stem not in seen:
            seen.append(progress.file.stem)

    report = await import_paths(ledger, [exports.folder], basis=BASIS, progress=note)
    assert (report.files, report.added, len(report.channels)) == (11, 11, 1)
    assert seen == [f"Moss Club - pond [part {part}]" for part in range(1, 12)]


async def test_without_a_basis_only_words_of_those_who_opted_in_reach_the_disk(
    ledger: Ledger, exports: Any, on_disk: Callable[[str], bool]
) -> None:
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.consent.opt_in(exports.guild, exports.ada)
    raws = [
        exports.message(1, exports.ada, "agreed words"),
        exports.message(2, exports.bo, "someone else's words"),
    ]
    report = await import_paths(ledger, [exports.write("a.json", exports.chat(raws))])
    stored = await ledger.messages.of_guild(exports.guild)
    assert [(message.content, message.basis) for message in stored] == [("agreed words", "opt-in")]
    assert report.left_out == {NO_CONSENT: 1}
    assert exports.bo not in await ledger.people.names(exports.guild)
    assert on_disk("agreed words")
    assert not on_disk("someone else's words")


async def test_consent_for_one_channel_holds_for_that_channel(ledger: Ledger, exports: Any) -> None:
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.consent.opt_in(exports.guild, exports.ada, channels=[exports.channel + 1])
    report = await import_paths(ledger, [exports.write("a.json", talk(exports))])
    assert report.left_out == {NO_CONSENT: 6}


async def test_an_opt_out_outweighs_any_basis(
    ledger: Ledger, exports: Any, on_disk: Callable[[str], bool]
) -> None:
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.consent.opt_out(exports.guild, exports.bo)
    report = await import_paths(ledger, [exports.write("a.json", talk(exports))], basis=BASIS)
    assert (report.added, report.left_out) == (3, {OPTED_OUT: 3})
    assert not on_disk("moss fact 1")


async def test_bots_commands_and_deleted_accounts_are_left_out_and_bots_are_known(
    ledger: Ledger, exports: Any, on_disk: Callable[[str], bool]
) -> None:
    raws = [
        exports.message(1, exports.ada, "beep: say hello"),
        exports.message(2, exports.beep, "hello, says the bot"),
        exports.message(3, DELETED_USER_ID, "from nobody"),
        exports.message(4, exports.ada, "Bo: did you see that"),
        exports.message(5, exports.bo, "I did"),
    ]
    report = await import_paths(ledger, [exports.write("a.json", exports.chat(raws))], basis=BASIS)
    assert report.left_out == {COMMAND: 1, BOT: 1, DELETED: 1}
    assert await ledger.people.bots(exports.guild) == {exports.beep: "beep"}
    question, _ = await ledger.messages.of_guild(exports.guild)
    assert question.mentions == (exports.bo,)  # who speaks only later is recognised all the same
    assert not on_disk("says the bot")


async def test_a_cut_off_export_is_taken_as_far_as_it_goes_and_said_so(ledger: Ledger, exports: Any) -> None:
    whole = json.dumps(talk(exports))
    path = exports.write("cut.json", whole[: whole.index("moss fact 4")])
    report = await import_paths(ledger, [path], basis=BASIS)
    assert (report.added, report.exit_code) == (4, 1)
    (problem,) = report.problems
    assert "cut.json is cut off" in problem
    assert "4 complete messages" in problem


async def test_a_broken_file_loses_nothing_and_stops_no_other(ledger: Ledger, exports: Any) -> None:
    whole = json.dumps(talk(exports, 1200))
    broken = exports.write(
        "a broken.json", whole.replace('"content": "moss fact 1100"', '"content" "moss fact 1100"')
    )
    page = exports.write("page.json", "<html>moss fact</html>")
    good = exports.write("z good.jsonl", json.dumps({
        "guild": "Moss Club", "channel": "pond", "author": "Ada", "content": "hm", "timestamp": 1714557600,
    }) + "\n")  # fmt: skip
    report = await import_paths(ledger, [broken, page, good], basis=BASIS)
    assert report.added == 1101
    assert report.exit_code == 1
    assert len(report.problems) == 2
    assert any("page.json" in line and "HTML" in line for line in report.problems)
    assert any("a broken.json cannot be imported at character" in line for line in report.problems)
    assert "moss fact" not in "".join(report.problems)


async def test_a_path_that_names_nothing_is_told_and_the_others_are_taken(
    ledger: Ledger, exports: Any, tmp_path: Path
) -> None:
    good = exports.write("a.json", talk(exports))
    (tmp_path / "empty").mkdir()
    report = await import_paths(ledger, [tmp_path / "absent.json", tmp_path / "empty", good], basis=BASIS)
    assert (report.added, report.exit_code) == (6, 1)
    absent, empty = report.problems
    assert "no file or folder" in absent
    assert "absent.json" in absent
    assert "holds no export" in empty


async def test_paths_that_name_nothing_at_all_are_refused(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(ImportRefused, match=r"no file or folder .*absent\.json"):
        await import_paths(ledger, [tmp_path / "absent.json"], basis=BASIS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportRefused, match="holds no export"):
        await import_paths(ledger, [tmp_path / "empty"], basis=BASIS)
    assert await ledger.guilds.all() == {}


@pytest.mark.parametrize(
    ("content", "reason"), [("", "empty"), ("[1, 2]", "bare list"), ("hello", "no JSON"), ("<p>", "HTML")]
)
async def test_a_file_of_no_known_format_is_told_what_it_looks_like(
    ledger: Ledger, exports: Any, content: str, reason: str
) -> None:
    report = await import_paths(ledger, [exports.write("x.json", content)], basis=BASIS)
    assert report.exit_code == 1
    assert reason in report.problems[0]


async def test_an_import_for_one_server_takes_nothing_of_another(ledger: Ledger, exports: Any) -> None:
    report = await import_paths(ledger, [exports.write("a.json", talk(exports))], basis=BASIS, guild_id=5)
    assert (report.added, report.left_out) == (0, {OTHER_SERVER: 6})


async def test_ignored_and_moved_channels_are_left_alone(ledger: Ledger, exports: Any) -> None:
    path = exports.write("a.json", talk(exports))
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.channels.ensure(exports.channel, exports.guild, "pond", mode="ignore")
    assert (await import_paths(ledger, [path], basis=BASIS)).left_out == {IGNORED: 6}
    other = exports.chat([exports.message(9, exports.ada, "x")], guild={"id": "77", "name": "Fern Club"})
    assert (await import_paths(ledger, [exports.write("b.json", other)], basis=BASIS)).left_out == {MOVED: 1}


@pytest.mark.parametrize(
    "when", ["9999-12-31T23:59:59.999999-23:59", "1969-12-31T23:59:59+00:00", "2154-05-15T08:00:00", "1e300"]
)
async def test_a_date_that_no_message_can_have_is_left_out(ledger: Ledger, exports: Any, when: str) -> None:
    at = float(when) if when == "1e300" else when
    line = {"guild": 41, "channel": "pond", "author": "Ada", "content": "hm", "timestamp": at}
    report = await import_paths(ledger, [exports.write("a.jsonl", json.dumps(line) + "\n")], basis=BASIS)
    assert (report.added, report.left_out, report.problems) == (0, {NO_DATE: 1}, [])


async def test_what_is_dated_tomorrow_may_be_a_wrong_clock_and_later_was_not_written_yet(
    ledger: Ledger, exports: Any
) -> None:
    now = to_ms(ledger.clock.now())
    lines = [
        {"guild": 41, "channel": "pond", "author": "Ada", "content": f"in {hours} hours", "timestamp": at}
        for hours in (-1, 23, 25)
        for at in [now + hours * 3_600_000]
    ]
    path = exports.write("a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert (await import_paths(ledger, [path], basis=BASIS)).left_out == {NO_DATE: 1}
    assert [m.content for m in await ledger.messages.of_guild(41)] == ["in -1 hours", "in 23 hours"]


async def test_a_text_that_is_no_message_is_left_out(ledger: Ledger, exports: Any) -> None:
    raws = [exports.message(1, exports.ada, "a: " * 11_000), exports.message(2, exports.ada, "short")]
    report = await import_paths(ledger, [exports.write("a.json", exports.chat(raws))], basis=BASIS)
    assert (report.added, report.left_out) == (1, {TOO_LONG: 1})


async def test_an_old_export_does_not_undo_a_renaming(ledger: Ledger, exports: Any) -> None:
    await ledger.guilds.ensure(exports.guild, "Moss Society")
    await ledger.channels.ensure(exports.channel, exports.guild, "lake")
    await ledger.people.ensure(exports.guild, exports.ada, "Ada II")
    await import_paths(ledger, [exports.write("a.json", talk(exports))], basis=BASIS)
    assert await ledger.guilds.all() == {exports.guild: "Moss Society"}
    assert [channel.name for channel in await ledger.channels.of_guild(exports.guild)] == ["lake"]
    assert (await ledger.people.names(exports.guild))[exports.ada] == "Ada II"


async def test_the_report_adds_up_and_can_be_printed(ledger: Ledger, exports: Any) -> None:
    raws = [exports.message(1, exports.ada, "x"), exports.message(2, exports.beep, "y")]
    report = await import_paths(ledger, [exports.write("a.json", exports.chat(raws))], basis=BASIS)
    assert report.read == report.added + report.already_there + report.left_out.total()
    assert json.loads(json.dumps(report.as_json()))["left_out"] == {BOT: 1}
    assert report.lines()[0] == "Read 2 messages from 1 file: 1 added, 0 already there, 1 left out."


async def test_an_import_that_may_take_nothing_says_what_to_do(ledger: Ledger, exports: Any) -> None:
    path = exports.write("a.json", talk(exports))
    report = await import_paths(ledger, [path])
    assert report.left_out == {NO_CONSENT: 6}
    assert '--basis "…"' in report.advice
    assert "/privacy opt-in" in report.advice
    assert report.lines()[-1] == report.advice == report.as_json()["advice"]
    await ledger.guilds.ensure(exports.guild, "Moss Club")
    await ledger.consent.opt_in(exports.guild, exports.ada)
    for advised in (await import_paths(ledger, [path]), await import_paths(ledger, [path], basis=BASIS)):
        assert advised.advice == ""
