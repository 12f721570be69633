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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledger.forgetting.backup_notes import NOTES
from ledger.forgetting.backups import back_up
from ledger.forgetting.deletion_path import Forgetting
from ledger.forgetting.deletions import Deletion, Deletions
from ledger.forgetting.erasure import Kind
from ledger.records import BotAnswer, Message
from ledger.store import Ledger
from tests.conftest import FakeClock
from tests.looking import deletions_of
from tests.searching import holding

MARK, OTHERS = "quetzalmarmalade7731", "everybody else's words"
GUILD, ELSEWHERE, ANN, BEN = 1, 11, 7, 8
LOUNGE, KITCHEN, HALL = 100, 101, 200
HERS = range(1, 61, 2)
"""Ann's messages, all in the lounge; those in between are ben's, in the kitchen."""
KILLS, ATTEMPTS = 100, 300
STEPS = (
    (Deletions, "begin"),
    (Forgetting, "remove"),
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


@dataclass(frozen=True)
class Case:
    """What is deleted, and whether the version that serves must go at once."""

    kind: Kind
    strict: bool

    def __str__(self) -> str:
        return f"{self.kind}{', strict' if self.strict else ''}"

    async def delete(self, forgetting: Forgetting) -> None:
        """Delete ann's words the way that this case is about."""
        match self.kind:
            case "person":
                await forgetting.person(GUILD, ANN, asked_by="member")
            case "messages":
                await forgetting.messages(GUILD, HERS, asked_by="Discord")
            case "channel":
                await forgetting.channel(GUILD, LOUNGE, asked_by="Discord")
            case "guild":
                await forgetting.guild(GUILD, asked_by="Discord")

    @property
    def states(self) -> dict[str, str]:
        """What becomes of the three versions: the first learned ann's words, and the third grew from it.

        Neither the second nor what the third's own night read holds anything of hers.
        """
        if self.kind == "guild":
            return dict.fromkeys(("g1-v000001", "g1-v000002", "g1-v000003"), "deleted")
        served = ("champion", "deleted") if self.strict else ("previous", "champion")
        return dict(zip(("g1-v000001", "g1-v000002", "g1-v000003"), ("deleted", *served), strict=True))


CASES = [
    Case(kind, strict) for kind in ("person", "messages", "channel", "guild") for strict in (False, True)
]
PERSON = CASES[0]


@asynccontextmanager
async def opened(root: Path, *, strict: bool = False) -> AsyncIterator[tuple[Ledger, Forgetting]]:
    """Open the ledger in ``root`` as the bot does."""
    async with Ledger.open(root / "data" / "ledger.db", clock=FakeClock()) as ledger:
        yield (
            ledger,
            Forgetting(
                ledger,
                datasets_dir=root / "data" / "datasets",
                runs_dir=root / "models" / "runs",
                strict=strict,
            ),
        )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two servers with versions: one where ann and ben talk, and two of three know hers; and ben's own."""
    root = tmp_path_factory.mktemp("kills") / "template"
    asyncio.run(_furnish(root))
    return root


async def _furnish(root: Path) -> None:
    draw = random.Random(20)
    async with opened(root) as (ledger, _):
        for guild_id, channel_id in ((GUILD, LOUNGE), (GUILD, KITCHEN), (ELSEWHERE, HALL)):
            await ledger.guilds.ensure(guild_id, "Lantern Yard")
            await ledger.channels.ensure(channel_id, guild_id, "room")
            for person in (ANN, BEN):
                await ledger.people.ensure(guild_id, person, f"member {person}")
                await ledger.consent.opt_in(guild_id, person)
        await ledger.messages.add_many(
            Message(n, GUILD, LOUNGE, ANN, "", f"{MARK} " * draw.randint(1, 120), n)
            if n in HERS
            else Message(n, GUILD, KITCHEN, BEN, "", f"{OTHERS} " * draw.randint(1, 120), n)
            for n in range(1, 61)
        )
        await ledger.messages.add(Message(500, ELSEWHERE, HALL, BEN, "", OTHERS, 1))
        await ledger.answers.add(BotAnswer(900, GUILD, LOUNGE, ANN, 1, f"you said {MARK}", None, 1))
        await ledger.answers.add(BotAnswer(901, GUILD, KITCHEN, BEN, 2, OTHERS, None, 1))
        await back_up(ledger, root / "backups")
        for guild_id, number, author, parent in (
            (GUILD, 1, ANN, None),
            (GUILD, 2, BEN, None),
            (GUILD, 4, BEN, "g1-v000001"),
            (ELSEWHERE, 500, BEN, None),
        ):
            run = await ledger.runs.create(guild_id, "night")
            await ledger.runs.learned_from(run.id, [(number, author)])
            adapter = await ledger.adapters.reserve(
                guild_id, run.id, adapters_dir="adapters", base_model="tiny", parent=parent
            )
            text = MARK if author == ANN else OTHERS
            for folder in (root / "data" / "datasets" / run.id, root / "models" / "runs" / run.id):
                folder.mkdir(parents=True)
                (folder / "train.jsonl").write_text(text, encoding="utf-8")
            (root / adapter.path).mkdir(parents=True)
            known = MARK if parent else text  # what a parent learned, its child knows
            (root / adapter.path / "adapter_model.safetensors").write_text(known, encoding="utf-8")
            await ledger.promotions.promote(guild_id, adapter.version, by="night")
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


def in_child(root: Path, case: Case = PERSON, prepare: Callable[[], None] = lambda: None) -> int:
    """Start a process that deletes; return its id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            prepare()
            asyncio.run(_delete(root, case))
            status = 0
        except BaseException:  # noqa: BLE001 - nobody else would ever hear of it
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return child


async def _delete(root: Path, case: Case) -> None:
    async with opened(root, strict=case.strict) as (_, forgetting):
        await case.delete(forgetting)


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


class Watched:
    """A child that tells when its deletion begins and when that is done."""

    def __init__(self, root: Path, case: Case) -> None:
        self._told, telling = os.pipe()
        self.child = in_child(root, case, lambda: self._tell(telling))
        os.close(telling)
        assert os.read(self._told, 1) == b"b"

    @staticmethod
    def _tell(telling: int) -> None:
        begin, complete = Deletions.begin, Deletions.complete

        async def begin_telling(*arguments: Any, **options: Any) -> Deletion:
            os.write(telling, b"b")
            return await begin(*arguments, **options)

        async def complete_telling(*arguments: Any) -> None:
            await complete(*arguments)
            os.write(telling, b"c")

        Deletions.begin = begin_telling  # type: ignore[method-assign]
        Deletions.complete = complete_telling  # type: ignore[method-assign, assignment]

    def seconds(self) -> float:
        """Wait for the deletion's end; return how long it took."""
        began = time.monotonic()
        assert os.read(self._told, 1) == b"c"
        took = time.monotonic() - began
        assert ended(self.child) == 0
        os.close(self._told)
        return took

    def kill(self) -> bool:
        """Kill it; tell whether its deletion was under way still."""
        os.kill(self.child, signal.SIGKILL)
        killed = ended(self.child) == -signal.SIGKILL
        completed = os.read(self._told, 1) == b"c"
        os.close(self._told)
        return killed and not completed


async def restart(root: Path, case: Case) -> tuple[bool, bool]:
    """Start again, as the bot does, and check everything.

    Return whether the deletion was on record, and whether it was left unfinished.
    """
    async with opened(root, strict=case.strict) as (ledger, forgetting):
        unfinished = bool(await ledger.deletions.unfinished())
        await forgetting.complete()
        deletions = await deletions_of(ledger, GUILD)
        await _others_are_whole(root, ledger, case, begun=bool(deletions))
        allowed = await ledger.consent.allows(GUILD, ANN, LOUNGE)
        hers = len(await ledger.messages.of_author(GUILD, ANN))
        states = {each.version: each.state for each in await ledger.adapters.of_guild(GUILD)}
        if not deletions:
            assert (allowed, hers) == (True, 30), "a part of it, and no deletion is on record"
            assert sorted(states.values()) == ["champion", "previous", "retired"]
            return False, False
        assert (allowed, hers) == (case.kind != "person", 0)
        assert states == case.states
        [receipt] = deletions
        _receipt_is_complete(root, receipt, case)
        assert await ledger.deletions.unfinished() == []
        # While it is open: SQLite empties the log when it closes, which a bot does not do for weeks.
        assert holding(MARK, root / "data", root / "models") == []
    # The one that serves stays until its date, unless it has to go at once: the only file with her words.
    serving = {version for version, state in case.states.items() if state == "champion"} - {"g1-v000002"}
    assert {file.parent.name for file in holding(MARK, root / "adapters")} == serving
    return True, unfinished


async def _others_are_whole(root: Path, ledger: Ledger, case: Case, *, begun: bool) -> None:
    gone = begun and case.kind == "guild"
    assert len(await ledger.messages.of_author(GUILD, BEN)) == (0 if gone else 30)
    assert ((await ledger.answers.get(901)) is None) == gone
    assert len(await ledger.messages.of_guild(ELSEWHERE)) == 1
    assert await ledger.consent.allows(GUILD, BEN, KITCHEN)
    assert await ledger.consent.allows(ELSEWHERE, ANN, HALL)
    clean = [await ledger.adapters.require(ELSEWHERE, "g11-v000001")]
    assert clean[0].state == "champion"
    if not gone:
        clean.append(await ledger.adapters.require(GUILD, "g1-v000002"))
    for version in clean:
        for folder in (root / version.path, root / "data" / "datasets" / version.run_id):
            assert holding(OTHERS, folder)


def _receipt_is_complete(root: Path, receipt: Deletion, case: Case) -> None:
    whole = case.kind == "guild"
    assert receipt.completed_at is not None
    assert receipt.counts == {"messages": 60 if whole else 30, "replies": 2 if whole else 1, "reactions": 0}
    deleted = {version.version: version.deleted_at is not None for version in receipt.versions}
    saw = case.states if whole else ("g1-v000001", "g1-v000003")
    assert deleted == {version: case.states[version] == "deleted" for version in saw}
    notes = [json.loads(line) for line in (root / "backups" / NOTES).read_text(encoding="utf-8").splitlines()]
    subject = {"person": [ANN], "messages": [*HERS], "channel": [LOUNGE], "guild": [GUILD]}[case.kind]
    assert {(note["kind"], *note["subject"]) for note in notes} == {(case.kind, *subject)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_killed_behind_each_of_its_steps_it_completes(fresh: Callable[[int], Path], case: Case) -> None:
    for number in range(1, 100):
        root = fresh(number)
        code = ended(in_child(root, case, lambda number=number: die_behind_step(number)))  # type: ignore[misc]
        assert asyncio.run(restart(root, case))[0], "begun is what it is from its first step on"
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert number > 12, "each step was met"


def test_killed_a_hundred_times_at_random_nothing_remains_and_nothing_else_is_lost(
    fresh: Callable[[int], Path],
) -> None:
    lengths = [Watched(fresh(-number - 1), case).seconds() for number, case in enumerate(CASES)]
    draw = random.Random(7)
    killed = attempts = unfinished = 0
    while killed < KILLS:
        attempts += 1
        assert attempts <= ATTEMPTS, f"{killed} of {attempts} were killed while they deleted"
        root, number = fresh(attempts), killed % len(CASES)
        watched = Watched(root, CASES[number])
        time.sleep(draw.uniform(0, lengths[number]))
        if watched.kill():
            killed += 1
            unfinished += asyncio.run(restart(root, CASES[number]))[1]
        shutil.rmtree(root.absolute())
    print(f"{killed} killed in {attempts} attempts, {unfinished} of them begun and not finished")
    assert unfinished >= KILLS // 2, "the others were killed before a word was deleted"


def test_two_processes_that_forget_at_once_do_not_hinder_each_other(fresh: Callable[[int], Path]) -> None:
    root = fresh(0)
    children = [in_child(root), in_child(root)]
    assert [ended(child) for child in children] == [0, 0]

    async def look() -> None:
        async with opened(root) as (ledger, forgetting):
            await forgetting.complete()
            await _others_are_whole(root, ledger, PERSON, begun=True)
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
    asyncio.run(_delete(root, PERSON))
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
