"""Versions that grew from versions: whoever is forgotten goes from all that grew from their words.

Three real nights of the tiny model, once a module: the first never met Bo, the second learned what he wrote,
and the third, which serves, grew from that and read nothing of his. Each test takes a path on a copy.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.forgetting.backups import back_up, restore
from ledger.forgetting.by_settings import forgetting_of
from ledger.learned.conversation_scores import ConversationScore
from ledger.learned.outcome import Outcome
from ledger.records import Adapter
from ledger.settings import PathsSection, Settings
from ledger.store import Ledger
from ledger.talk.sorting import position
from tests.conftest import FakeClock
from tests.searching import holding
from tests.trainer.conftest import GUILD, HOUR, changed, introduce, talk
from tests.trainer.conftest import night as run_night
from trainer.builders import plan_of
from trainer.nights.looking_back import watched
from trainer.progress import StageProgress

KEY = b"tests"
MARK = "quetzalmarmalade7731"
BO, ATTIC = 12, 7_100_000_001
DAY = 86_400_000
BACKLOG = 60
"""Conversations before the first night: so many that no later day's have to make up for too few held out."""
HELD_OUT = 0.16
"""A little more than the shares of test and validation together."""
FIRST, SECOND, THIRD, FOURTH = (f"g{GUILD}-v{number:06d}" for number in range(1, 5))
FORGET: dict[str, Callable[[Ledger, Settings], Awaitable[Any]]] = {
    "a person": lambda ledger, settings: forgetting_of(settings, ledger).person(GUILD, BO, asked_by="member"),
    "messages": lambda ledger, settings: _his_messages(ledger, settings, "Discord"),
    "an edit": lambda ledger, settings: _his_messages(ledger, settings, "edit"),
    "a channel": lambda ledger, settings: forgetting_of(settings, ledger).channel(
        GUILD, ATTIC, asked_by="Discord"
    ),
}
"""Each kind of deletion that a server survives, of all that Bo wrote."""
ONE_BY_ONE = {"messages", "an edit"}


async def _his_messages(ledger: Ledger, settings: Settings, asked_by: str) -> None:
    """Delete or edit each of Bo's messages, as the bot follows Discord."""
    for message in await ledger.messages.of_author(GUILD, BO):
        await forgetting_of(settings, ledger).messages(GUILD, [message.id], asked_by=asked_by)
        if asked_by == "edit":
            await ledger.messages.add(replace(message, content="I would rather not say what is in there"))


@dataclass
class Grown:
    """A copy of the server that went to school three times."""

    ledger: Ledger
    settings: Settings
    clock: FakeClock

    async def night(self, **options: Any) -> Outcome:
        return await run_night(self.ledger, self.settings, **options)

    async def states(self) -> dict[str, str]:
        return {adapter.version: adapter.state for adapter in await self.ledger.adapters.of_guild(GUILD)}

    async def version(self, name: str) -> Adapter:
        return await self.ledger.adapters.require(GUILD, name)

    async def talk_on(self, first: int, count: int = 16) -> None:
        """Let a day pass on which the others talk."""
        await say(self.ledger, self.clock, first, count)

    def marked(self) -> set[str]:
        """Return the folders right below data/ and models/ in which the marker is, and versions by name."""
        files = holding(MARK, self.settings.data_dir) + holding(MARK, self.settings.models_dir)
        return {file.parent.name if file.name == "learned.txt" else file.name for file in files}


async def say(ledger: Ledger, clock: FakeClock, first: int, count: int, *, bo: bool = False) -> None:
    """Add conversations of the last day; where ``bo`` is there, in the attic, with the marker in each of his.

    Those are such that the split holds none of them out: an exam would show them to a later night.
    """
    start = int(clock.now().timestamp() * 1000) - max(DAY, count * HOUR)
    numbers = [n for n in range(first, first + 100) if not bo or _is_learned(n)]
    for place, number in enumerate(numbers[:count]):
        begin = start + place * HOUR
        said = [replace(message, imported_at=begin) for message in talk(number, at=begin)]
        if bo:
            said = [
                replace(m, channel_id=ATTIC, author_id=BO, content=f"{m.content} {MARK} {number}")
                if number_in_talk % 2
                else replace(m, channel_id=ATTIC, author_id=11)
                for number_in_talk, m in enumerate(said)
            ]
        else:
            said = [replace(m, author_id=14 if m.author_id == BO else m.author_id) for m in said]
        await ledger.messages.add_many(said)


def _is_learned(number: int) -> bool:
    """Tell whether a conversation is above both held-out shares, whichever of its messages comes first."""
    return all(position(KEY, GUILD, message.id) > HELD_OUT for message in talk(number))


def configured(root: Path, base: Path) -> Settings:
    """Settings under which the tiny model learns in seconds, and a night reads what is new alone."""
    settings = Settings(paths=PathsSection(data=root / "data", models=root / "models"))
    settings = changed(settings, "model", base=str(base), device="cpu", dtype="float32")
    settings = changed(settings, "dataset", replay_share=0.0, backlog_share=0.0, person_share=1.0)
    settings = changed(settings, "leakage", probes=0)
    free = {"min_gain": 0.0, "max_forgetting": 100.0, "max_old_loss": 100.0, "max_fault_rise": 1.0}
    settings = changed(settings, "verdict", **free, max_toxic_rise=1.0, resamples=100, min_test_replies=1)
    return changed(
        settings,
        "training",
        epochs=1,
        learning_rate=5e-3,
        lora_r=4,
        lora_alpha=8,
        lora_dropout=0.0,
        batch_size=8,
        accumulation_steps=1,
        max_tokens=256,
    )


async def promoted(grown: Grown, outcome: Outcome) -> str:
    """Let tonight's version serve whatever its verdict is, which is not the point here."""
    assert outcome.candidate is not None, outcome.error
    if outcome.stage == "kept":
        await grown.ledger.promotions.promote(GUILD, outcome.candidate, by="test")
        await forgetting_of(grown.settings, grown.ledger).sweep()
    return outcome.candidate


@asynccontextmanager
async def opened(root: Path, base: Path, clock: FakeClock) -> AsyncIterator[Grown]:
    settings = configured(root, base)
    async with Ledger.open(settings.database, clock=clock) as ledger:
        yield Grown(ledger, settings, clock)


def three_nights_later() -> FakeClock:
    return FakeClock(FakeClock().now() + timedelta(days=3))


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """A root folder with three versions, each grown from the one before."""
    root = tmp_path_factory.mktemp("chain") / "root"

    async def work() -> None:
        clock = FakeClock()
        async with opened(root, tiny_base, clock) as grown:
            await grown.ledger.writer.execute("UPDATE split_key SET key = ?", (KEY,))
            await introduce(grown.ledger)
            await grown.ledger.channels.ensure(ATTIC, GUILD, "attic")
            await back_up(grown.ledger, root / "backups" / "empty")
            for number, bo in enumerate((False, True, False)):
                await say(grown.ledger, clock, 100 * number, BACKLOG if not number else 16, bo=bo)
                version = await grown.version(await promoted(grown, await grown.night()))
                if number:
                    # Weights show no words, so a file stands in for what a version knows.
                    (Path(version.path) / "learned.txt").write_text(MARK, encoding="utf-8")
                clock.advance(days=1)

    asyncio.run(work())
    return root


@pytest.fixture
async def grown(school: Path, tiny_base: Path, tmp_path: Path) -> AsyncIterator[Grown]:
    root = Path(shutil.copytree(school, tmp_path / "root"))
    async with opened(root, tiny_base, three_nights_later()) as found:
        await found.ledger.adapters.note_folder(str(found.settings.adapters_dir))
        yield found


async def test_the_marker_is_known_through_an_ancestor_alone(grown: Grown) -> None:
    """Without this the tests below would show nothing about ancestors."""
    assert await grown.states() == {FIRST: "retired", SECOND: "previous", THIRD: "champion"}
    assert await grown.ledger.lineage.versions(THIRD) == [THIRD, SECOND, FIRST]
    his = {message.id for message in await grown.ledger.messages.of_author(GUILD, BO)}
    assert his & await grown.ledger.lineage.targets_of(SECOND)
    for name, own in ((FIRST, False), (SECOND, True), (THIRD, False)):
        run = (await grown.version(name)).run_id
        assert bool(his & await grown.ledger.runs.messages_of(run)) == own
        assert bool(holding(MARK, grown.settings.datasets_dir / run)) == own


@pytest.mark.slow
@pytest.mark.parametrize("path", FORGET)
async def test_after_one_night_nothing_is_left_that_an_ancestor_learned(path: str, grown: Grown) -> None:
    await FORGET[path](grown.ledger, grown.settings)
    waits = "previous" if path in ONE_BY_ONE else "deleted"
    assert await grown.states() == {FIRST: "retired", SECOND: waits, THIRD: "champion"}
    assert {tainted.adapter.version for tainted in await grown.ledger.deletions.tainted()} <= {SECOND, THIRD}
    # Rows, pages and datasets at once; of the versions those that may wait for tonight.
    assert grown.marked() == ({SECOND, THIRD} if path in ONE_BY_ONE else {THIRD})
    await grown.talk_on(300)
    outcome = await grown.night()
    version = await promoted(grown, outcome)
    assert (version, (await grown.version(version)).parent) == (FOURTH, FIRST)
    manifest = json.loads((grown.settings.datasets_dir / outcome.run / "manifest.json").read_text())
    assert manifest["start"] == FIRST
    # The day that the third had learned is learned again, without him.
    relearned = await grown.ledger.lineage.targets_of(FOURTH)
    assert {number for number in relearned if 1_002_000 <= number < 1_003_000}
    if path != "an edit":
        assert not {number for number in relearned if 1_001_000 <= number < 1_002_000 and number % 2}
    grown.clock.advance(days=31)
    await forgetting_of(grown.settings, grown.ledger).sweep()
    assert await grown.states() == {
        FIRST: "retired",
        SECOND: "deleted",
        THIRD: "deleted",
        FOURTH: "champion",
    }
    assert grown.marked() == set()
    for name in (SECOND, THIRD):
        assert not await grown.ledger.deletions.may_serve(name)


async def test_a_version_that_only_measured_itself_on_the_words_stays(grown: Grown) -> None:
    """The first version's night is given his words as an exam: its dataset goes, and it does not."""
    run = (await grown.version(FIRST)).run_id
    known = await grown.ledger.runs.authors_of(run)
    [message, *_] = await grown.ledger.messages.of_author(GUILD, BO)
    await grown.ledger.runs.learned_from(run, [*known.items(), (message.id, BO)], roles={message.id: "exam"})
    receipt = await forgetting_of(grown.settings, grown.ledger).person(GUILD, BO, asked_by="member")
    assert not (grown.settings.datasets_dir / run).exists()
    assert (await grown.states())[FIRST] == "retired"
    assert Path((await grown.version(FIRST)).path).is_dir()
    assert [version.version for version in receipt.versions] == [SECOND, THIRD]
    assert receipt.measured == (FIRST,)
    assert [adapter.version for adapter in await grown.ledger.promotions.clean(GUILD)] == [FIRST]


@pytest.mark.slow
async def test_a_night_begins_again_when_what_goes_is_known_to_its_parent_alone(grown: Grown) -> None:
    await grown.talk_on(300)
    runs: list[str] = []
    own: list[bool] = []

    async def forget(ledger: Ledger, settings: Settings) -> None:
        own.append(BO in (await ledger.runs.authors_of(runs[0])).values())
        await FORGET["a person"](ledger, settings)

    def reporter(done: StageProgress) -> None:
        if done.stage == "fit" and not own:
            in_a_thread(lambda: with_own_ledger(grown, forget))

    outcome = await grown.night(reporter=reporter, on_run=runs.append)
    assert own == [False]
    first, second = [await grown.ledger.runs.require(run) for run in runs]
    assert (first.stage, second.id) == ("cancelled", outcome.run)
    assert "deleted meanwhile" in str(first.error)
    version = await promoted(grown, outcome)
    assert (await grown.version(version)).parent == FIRST
    [given_up] = [a for a in await grown.ledger.adapters.of_guild(GUILD) if a.run_id == first.id]
    assert (given_up.state, given_up.parent) == ("deleted", THIRD)
    for parent in (grown.settings.runs_dir, grown.settings.datasets_dir):
        assert not (parent / first.id).exists()
    assert grown.marked() == set()


@pytest.mark.slow
async def test_a_parent_that_goes_while_the_night_still_prepares_is_not_grown_from(grown: Grown) -> None:
    """Before the night's version is on record, no deletion can find it by its parent."""
    await grown.talk_on(300)
    told: list[str] = []

    def reporter(done: StageProgress) -> None:
        if done.stage == "score" and not told:
            told.append(done.stage)
            in_a_thread(lambda: with_own_ledger(grown, FORGET["a person"]))

    runs: list[str] = []
    outcome = await grown.night(reporter=reporter, on_run=runs.append)
    assert told == ["score"]
    assert len(runs) == 2
    assert (await grown.version(await promoted(grown, outcome))).parent == FIRST
    assert grown.marked() == set()


@pytest.mark.slow
async def test_who_takes_old_words_back_again_and_again_makes_it_begin_again_twice_and_no_more(
    grown: Grown,
) -> None:
    """Each message that an ancestor learned would be one more beginning, and six end the night."""
    await grown.ledger.promotions.rollback(GUILD, by="test")  # the second version serves
    his = [m.id for m in await grown.ledger.messages.of_author(GUILD, BO)]
    run = (await grown.version(FIRST)).run_id
    known = await grown.ledger.runs.authors_of(run)
    await grown.ledger.runs.learned_from(run, [*known.items(), (his[0], BO)])
    await grown.talk_on(300)
    own = await grown.ledger.lineage.targets_of(SECOND)
    takes = [max(number for number in his[1:] if number in own), his[0], his[1]]

    def reporter(done: StageProgress) -> None:
        if done.stage == "fit" and done.step == 0 and takes:
            number = takes.pop(0)
            in_a_thread(
                lambda: with_own_ledger(
                    grown,
                    lambda ledger, settings: forgetting_of(settings, ledger).messages(
                        GUILD, [number], asked_by="Discord"
                    ),
                )
            )

    runs: list[str] = []
    outcome = await grown.night(reporter=reporter, on_run=runs.append)
    parents = {a.run_id: a.parent for a in await grown.ledger.adapters.of_guild(GUILD)}
    assert [parents[run] for run in runs] == [SECOND, FIRST, None]
    assert takes == []
    assert outcome.stage in {"promoted", "kept"}


@pytest.mark.slow
async def test_a_night_that_was_cut_off_is_not_resumed_on_a_parent_that_learned_what_is_gone(
    grown: Grown,
) -> None:
    await grown.talk_on(300)
    leave = asyncio.Event()

    def reporter(done: StageProgress) -> None:
        if done.stage == "fit" and done.step:
            leave.set()

    left = await grown.night(reporter=reporter, leaving=leave.is_set)
    assert left.stage == "paused"
    await FORGET["a person"](grown.ledger, grown.settings)
    assert not (grown.settings.runs_dir / left.run).exists()
    outcome = await grown.night()
    assert outcome.run != left.run
    assert (await grown.version(await promoted(grown, outcome))).parent == FIRST
    assert (await grown.ledger.runs.require(left.run)).stage == "failed"
    assert grown.marked() == set()


async def test_the_watch_goes_back_to_no_version_that_learned_something_deleted(grown: Grown) -> None:
    """Single messages were taken back: the version before the champion may wait, but serves no more."""
    await grown.ledger.promotions.promote(GUILD, FIRST, by="night test")
    since = await grown.ledger.runs.create(GUILD, "a night since")
    await grown.ledger.runs.advance(since.id, "kept")
    await FORGET["messages"](grown.ledger, grown.settings)
    states = await grown.states()
    assert (states[FIRST], states[THIRD]) == ("champion", "previous")
    evidence = [
        ConversationScore("fresh", name, 100 + number, None, nll, 20, 0, 1)
        for number in range(400)
        for name, nll in ((FIRST, 90.0), (THIRD, 60.0))
    ]
    await grown.ledger.scores.keep(since.id, evidence)
    limits = plan_of(grown.settings).verdict
    judged = await watched(grown.ledger, GUILD, FIRST, THIRD, limits, run="")
    assert judged is not None
    assert judged.go_back
    await grown.talk_on(300)
    runs: list[str] = []
    outcome = await grown.night(on_run=runs.append)
    assert runs == [outcome.run]
    assert outcome.next_day is not None, "it looked back"
    assert (await grown.version(str(outcome.candidate))).parent == FIRST


@pytest.mark.parametrize("of_day", ["before the first night", "of today"])
async def test_a_restored_backup_knows_what_grew_from_what_and_forgets_again(
    of_day: str, school: Path, tiny_base: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(school, tmp_path / "root"))
    settings, clock = configured(root, tiny_base), three_nights_later()
    async with opened(root, tiny_base, clock) as grown:
        await grown.ledger.adapters.note_folder(str(settings.adapters_dir))
        today = await back_up(grown.ledger, root / "backups" / "today")
        await FORGET["a person"](grown.ledger, settings)
    [early] = (root / "backups" / "empty").glob("*.db")
    await restore(
        today if of_day == "of today" else early,
        settings.database,
        adapters_dir=settings.adapters_dir,
        forgets=lambda ledger: forgetting_of(settings, ledger),
        clock=clock,
    )
    async with opened(root, tiny_base, clock) as grown:
        files = {folder.name for folder in (settings.adapters_dir / str(GUILD)).glob("*")}
        if of_day == "of today":
            assert await grown.states() == {FIRST: "retired", SECOND: "deleted", THIRD: "champion"}
            assert files == {FIRST, THIRD}
            clock.advance(days=31)
            await forgetting_of(settings, grown.ledger).sweep()
            assert await grown.states() == {FIRST: "champion", SECOND: "deleted", THIRD: "deleted"}
        else:  # it knows none of them
            assert (await grown.states(), files) == ({}, set())
        assert grown.marked() == set()


def in_a_thread(work: Callable[[], Awaitable[Any]]) -> None:
    """Do what another process does meanwhile, while this one waits."""
    import threading

    failures: list[BaseException] = []

    async def awaited() -> None:
        await work()

    def run() -> None:
        try:
            asyncio.run(awaited())
        except BaseException as error:  # noqa: BLE001 - told below, where the test can see it
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert failures == []


async def with_own_ledger(grown: Grown, forget: Callable[[Ledger, Settings], Awaitable[Any]]) -> None:
    async with Ledger.open(grown.settings.database, clock=grown.clock) as ledger:
        await forget(ledger, grown.settings)
