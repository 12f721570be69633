"""Scores of conversations: kept by run, known again by what was scored, gone with the text."""

from __future__ import annotations

from collections.abc import Callable

from ledger.learned.conversation_scores import ConversationScore, Exam
from ledger.records import Message
from ledger.store import Ledger


def score(
    model: str, conversation: int, *, exam: Exam = "test", print_: bytes | None = b"x"
) -> ConversationScore:
    return ConversationScore(exam, model, conversation, print_, 12.5, 5, 2, 1)


async def test_scores_are_read_back_by_model_and_fingerprint(house: Ledger) -> None:
    run = await house.runs.create(1, "test")
    kept = [score("a", 1), score("a", 2, print_=b"y"), score("b", 1), score("a", 3, print_=None)]
    await house.scores.keep(run.id, kept)
    assert await house.scores.of_model(1, "a") == {b"x": kept[0], b"y": kept[1]}
    assert await house.scores.of_model(999, "a") == {}


async def test_a_repeated_measurement_replaces_the_earlier_one(house: Ledger) -> None:
    run = await house.runs.create(1, "test")
    await house.scores.keep(run.id, [score("a", 1)])
    await house.scores.keep(run.id, [score("a", 1, print_=b"new")])
    assert set(await house.scores.of_model(1, "a")) == {b"new"}


async def test_an_exams_scores_come_in_the_order_of_the_nights(house: Ledger) -> None:
    runs = [await house.runs.create(1, "test") for _ in range(3)]
    for run in reversed(runs):
        await house.scores.keep(
            run.id, [score("a", 1, exam="fresh"), score("c", 1, exam="fresh"), score("a", 1)]
        )
    found = await house.scores.of_runs(1, "fresh", ["a"])
    assert [(run, each.model) for run, each in found] == [(run.id, "a") for run in runs]


async def test_the_hash_of_what_is_deleted_goes_and_the_figures_stay(house: Ledger) -> None:
    run = await house.runs.create(1, "test")
    await house.runs.learned_from(run.id, [(70, 7)], roles={70: "fresh"})
    await house.scores.keep(run.id, [score("a", 70, exam="fresh")])
    await house.deletions.begin(1, "messages", [70], asked_by="test", keep_ms=0)
    assert await house.scores.of_model(1, "a") == {}
    [(_, left)] = await house.scores.of_runs(1, "fresh", ["a"])
    assert (left.fingerprint, left.nll) == (None, 12.5)


async def test_a_run_that_saw_something_deleted_keeps_no_hash_afterwards_either(house: Ledger) -> None:
    """A night under way computed its hashes before the deletion, and writes them behind it."""
    run = await house.runs.create(1, "test")
    await house.runs.learned_from(run.id, [(70, 7)], roles={70: "exam"})
    await house.deletions.begin(1, "messages", [70], asked_by="test", keep_ms=0)
    await house.scores.keep(run.id, [score("a", 70)])
    assert await house.scores.of_model(1, "a") == {}


async def test_a_hash_goes_with_the_list_that_a_deletion_would_find_it_by(house: Ledger) -> None:
    kept, gone = [await house.runs.create(1, "test") for _ in range(2)]
    for run, print_ in ((kept, b"kept"), (gone, b"gone")):
        await house.runs.learned_from(run.id, [(70, 7)], roles={70: "exam"})
        await house.scores.keep(run.id, [score("a", 70, print_=print_)])
        version = await house.adapters.reserve(1, run.id, adapters_dir="adapters", base_model="tiny")
    await house.deletions.version_deleted(version)
    assert set(await house.scores.of_model(1, "a")) == {b"kept"}
    await house.deletions.begin(1, "messages", [70], asked_by="test", keep_ms=0)
    assert await house.scores.of_model(1, "a") == {}


async def test_a_hash_goes_with_text_that_is_too_old_and_that_of_general_text_with_its_run(
    house: Ledger, message: Callable[..., Message]
) -> None:
    await house.messages.add(message(70))
    run = await house.runs.create(1, "test")
    scores = [(70, b"stored"), (71, b"gone"), (-1, b"general")]
    await house.scores.keep(run.id, [score("a", number, print_=print_) for number, print_ in scores])
    await house.scores.delete_hashes(run.created_at)
    assert set(await house.scores.of_model(1, "a")) == {b"stored", b"general"}
    await house.scores.delete_hashes(run.created_at + 1)
    assert await house.scores.of_model(1, "a") == {}
