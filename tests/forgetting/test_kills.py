"""A deletion whose process is killed, at each of its steps and a hundred times anywhere: it completes.

Each attempt runs in a forked child on a copy of one small ledger with its folders. What follows is what
a start does: ``Forgetting.complete()``.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ledger.backup import back_up
from ledger.deletions import Deletion, Deletions
from ledger.forgetting import Forgetting
from ledger.notes import NOTES
from ledger.records import Message, Reply
from ledger.store import Ledger
from tests.conftest import FakeClock
from tests.forgetting.trained import holding

MARK, OTHERS = "quetzalmarmalade7731", "everybody else's words"
GUILD, ELSEWHERE, ANN, BEN = 1, 11, 7, 8
KILLS = 100
STEPS = (
    (Deletions, "begin"),
    (Forgetting, "_remove"),
    (Deletions, "version_deleted"),
    (Forgetting, "delete_version"),
    (Forgetting, "sweep"),
    (Ledger, "note_backup_folder"),
    (Forgetting, "note_beside_backups"),
    (Ledger, "checkpoint"),
    (Ledger, "scour"),
    (Deletions, "complete"),
)
"""What a deletion consists of; it is killed behind each call of each."""


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[tuple[Ledger, Forgetting]]:
    """Open the ledger in ``root`` as the bot does."""
    async with Ledger.open(root / "data" / "ledger.db", clock=FakeClock()) as ledger:
        yield (
            ledger,
            Forgetting(ledger, datasets_dir=root / "data" / "datasets", runs_dir=root / "models" / "runs"),
        )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server with ann's and ben's words, and three versions: two that saw hers, one that did not."""
    root = tmp_path_factory.mktemp("kills") / "template"
    asyncio.run(_furnish(root))
    return root


async def _furnish(root: Path) -> None:
    draw = random.Random(20)
    async with opened(root) as (ledger, _):
        for guild_id, channel_id in ((GUILD, 100), (ELSEWHERE, 200)):
            await ledger.guilds.ensure(guild_id, "Lantern Yard")
            await ledger.channels.ensure(channel_id, guild_id, "lounge")
            for person in (ANN, BEN):
                await ledger.people.ensure(guild_id, person, f"member {person}")
                await ledger.consent.opt_in(guild_id, person)
        await ledger.messages.add_many(
            Message(
                n,
                GUILD,
                100,
                ANN if n % 2 else BEN,
                "",
                f"{MARK if n % 2 else OTHERS} " * draw.randint(1, 120),
                n,
            )
            for n in range(1, 61)
        )
        await ledger.messages.add(Message(500, ELSEWHERE, 200, BEN, "", OTHERS, 1))
        await ledger.replies.add(Reply(900, GUILD, 100, ANN, 1, f"you said {MARK}", None, 1))
        await ledger.replies.add(Reply(901, GUILD, 100, BEN, 2, OTHERS, None, 1))
        await back_up(ledger, root / "backups")
        for number, author in enumerate((ANN, BEN, ANN), start=1):
            run = await ledger.runs.create(GUILD, "night")
            await ledger.runs.learned_from(run.id, [(number, author)])
            adapter = await ledger.adapters.reserve(GUILD, run.id, adapters_dir="adapters", base_model="tiny")
            text = MARK if author == ANN else OTHERS
            for folder in (root / "data" / "datasets" / run.id, root / "models" / "runs" / run.id):
                folder.mkdir(parents=True)
                (folder / "train.jsonl").write_text(text, encoding="utf-8")
            (root / adapter.path).mkdir(parents=True)
            (root / adapter.path / "adapter_model.safetensors").write_text(text, encoding="utf-8")
            await ledger.adapters.promote(GUILD, adapter.version, by="night")
            await ledger.runs.advance(run.id, "promoted")
        await ledger.writer.execute("UPDATE backup_folders SET path = 'backups'")


@pytest.fixture
def fresh(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """Return a function that copies the template and works in the copy."""

    def copy(number: int) -> Path:
        root = shutil.copytree(template, tmp_path / str(number))
        monkeypatch.chdir(root)
        return Path()

    return copy


def in_child(root: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """Start a process that forgets ann; return its id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            prepare()
            asyncio.run(_forget(root))
            status = 0
        except BaseException:  # noqa: BLE001 - nobody else would ever hear of it
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


async def _forget(root: Path) -> None:
    async with opened(root) as (_, forgetting):
        await forgetting.person(GUILD, ANN, asked_by="member")


def ended(child: int) -> int:
    """Wait for the child; return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_behind_step(number: int) -> None:
    """Have this process kill itself behind its n-th step."""
    steps = 0

    def counted(original: Callable[..., Any], result: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        if asyncio.iscoroutinefunction(original):

            async def later(*arguments: Any, **options: Any) -> Any:
                return counted(original, await original(*arguments, **options))

            return later
        return lambda *arguments, **options: counted(original, original(*arguments, **options))

    for owner, name in STEPS:
        original = getattr(owner, name)
        static = isinstance(owner.__dict__[name], staticmethod)
        setattr(owner, name, staticmethod(wrapped(original)) if static else wrapped(original))


async def restart(root: Path) -> bool:
    """Start again, as the bot does, and check everything; tell whether the deletion had begun."""
    async with opened(root) as (ledger, forgetting):
        await forgetting.complete()
        deletions = await ledger.deletions.of_guild(GUILD)
        allowed = await ledger.consent.allows(GUILD, ANN, 100)
        await _others_are_whole(root, ledger)
        if not deletions:
            assert allowed, "opted out, and no deletion is on record"
            assert len(await ledger.messages.of_author(GUILD, ANN)) == 30
            return False
        assert not allowed
        [receipt] = deletions
        _receipt_is_complete(root, receipt)
        assert await ledger.deletions.unfinished() == []
    # The one that serves (the third) stays until its date: it is the only file with her words.
    left = {file.relative_to(root).as_posix() for file in holding(MARK, root / "data", root / "models")}
    assert left == set()
    assert [file.parent.name for file in holding(MARK, root / "adapters")] == ["g1-v000003"]
    return True


async def _others_are_whole(root: Path, ledger: Ledger) -> None:
    assert len(await ledger.messages.of_author(GUILD, BEN)) == 30
    assert len(await ledger.messages.of_guild(ELSEWHERE)) == 1
    assert (await ledger.replies.get(901)) is not None
    assert await ledger.consent.allows(GUILD, BEN, 100)
    assert await ledger.consent.allows(ELSEWHERE, ANN, 200)
    clean = await ledger.adapters.require(GUILD, "g1-v000002")
    assert clean.state == "previous"
    for folder in (root / clean.path, root / "data" / "datasets" / clean.run_id):
        assert holding(OTHERS, folder)


def _receipt_is_complete(root: Path, receipt: Deletion) -> None:
    assert receipt.completed_at is not None
    assert receipt.counts == {"messages": 30, "replies": 1, "reactions": 0}
    deleted = {version.version: version.deleted_at is not None for version in receipt.versions}
    assert deleted == {"g1-v000001": True, "g1-v000003": False}
    notes = [json.loads(line) for line in (root / "backups" / NOTES).read_text(encoding="utf-8").splitlines()]
    assert {(note["kind"], tuple(note["subject"])) for note in notes} == {("person", (ANN,))}


def test_killed_behind_each_of_its_steps_it_completes(fresh: Callable[[int], Path]) -> None:
    for number in range(1, 100):
        root = fresh(number)
        code = ended(in_child(root, lambda number=number: die_behind_step(number)))  # type: ignore[misc]
        assert asyncio.run(restart(root)), "begun is what it is from its first step on"
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert number > 12, "each step was met"


def test_killed_a_hundred_times_at_random_nothing_remains_and_nothing_else_is_lost(
    fresh: Callable[[int], Path],
) -> None:
    began = time.monotonic()
    assert ended(in_child(fresh(-1))) == 0
    whole = time.monotonic() - began
    draw = random.Random(7)
    killed = begun = 0
    for number in range(KILLS):
        root = fresh(number)
        child = in_child(root)
        time.sleep(draw.uniform(0, whole))
        os.kill(child, signal.SIGKILL)
        killed += ended(child) == -signal.SIGKILL
        begun += asyncio.run(restart(root))
        shutil.rmtree(root.absolute())
    assert killed > KILLS // 2, "most children lived until they were killed"
    assert begun > 0, "some were killed in the middle"


def test_two_processes_that_forget_at_once_do_not_hinder_each_other(fresh: Callable[[int], Path]) -> None:
    root = fresh(0)
    children = [in_child(root), in_child(root)]
    assert [ended(child) for child in children] == [0, 0]

    async def look() -> None:
        async with opened(root) as (ledger, forgetting):
            await forgetting.complete()
            await _others_are_whole(root, ledger)
            receipts = await ledger.deletions.of_person(GUILD, ANN)
            assert all(receipt.completed_at is not None for receipt in receipts)
            assert sorted(receipt.counts["messages"] for receipt in receipts) == [0, 30]

    asyncio.run(look())
    assert holding(MARK, root / "data", root / "models") == []


def test_many_deletions_in_one_process_leave_an_empty_log(fresh: Callable[[int], Path]) -> None:
    root = fresh(0)

    async def work() -> None:
        async with opened(root) as (ledger, forgetting):
            await asyncio.gather(
                *(forgetting.person(GUILD, ANN, asked_by="member") for _ in range(5)),
                *(forgetting.messages(GUILD, [number], asked_by="Discord") for number in range(1, 21)),
            )
            assert await ledger.deletions.unfinished() == []
            assert holding(MARK, root / "data", root / "models") == []
            assert len(await ledger.messages.of_author(GUILD, BEN)) == 20

    asyncio.run(work())


def test_a_note_that_was_torn_off_is_written_anew(fresh: Callable[[int], Path]) -> None:
    root = fresh(0)
    whole = json.dumps({"guild_id": 1, "kind": "messages", "subject": [5], "asked_by": "x", "asked_at": 1})
    (root / "backups" / NOTES).write_text(f'{whole}\n{{"guild_id": 1, "ki', encoding="utf-8")
    asyncio.run(_forget(root))
    lines = (root / "backups" / NOTES).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["messages", "person"]


@pytest.mark.parametrize("seed", range(3))
def test_no_byte_is_left_in_free_pages_whatever_the_lengths_and_the_order(seed: int, tmp_path: Path) -> None:
    """Pages split, merge and overflow: each place that SQLite moves text to has to be overwritten."""
    draw = random.Random(seed)

    async def work() -> None:
        async with opened(tmp_path) as (ledger, forgetting):
            await ledger.guilds.ensure(GUILD, "Lantern Yard")
            await ledger.channels.ensure(100, GUILD, "lounge")
            numbers = draw.sample(range(10_000), 1200)
            for start in range(0, len(numbers), 40):
                await ledger.messages.add_many(
                    Message(n, GUILD, 100, ANN if n % 3 else BEN, "", _text(draw, n), n)
                    for n in numbers[start : start + 40]
                )
                gone = draw.sample(numbers[: start + 40], 10)
                numbers_gone = ", ".join(str(n) for n in gone if n % 3)
                await ledger.writer.execute(f"DELETE FROM messages WHERE id IN ({numbers_gone})")
            await forgetting.person(GUILD, ANN, asked_by="member")
            assert await ledger.messages.count(GUILD) == sum(n % 3 == 0 for n in numbers)

    asyncio.run(work())
    assert holding(MARK, tmp_path) == []
    assert holding(OTHERS, tmp_path) == [tmp_path / "data" / "ledger.db"]


def _text(draw: random.Random, number: int) -> str:
    return f"{MARK if number % 3 else OTHERS} " * draw.choice((1, 2, 5, 30, 100, 300))
