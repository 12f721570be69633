"""Tonight's budget: taught, then new, then older days; never more than its tokens."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.records import Conversation, Message
from trainer.preparing.night_budget import Budget, Chosen, Offer, choose, offers_of
from trainer.preparing.windows import Passage

DAY = 86_400_000
NOW = 1000 * DAY
SINCE = NOW - DAY


def passage(number: int, *, at: int, count: int = 2, source: Any = "import") -> Passage:
    messages = tuple(
        Message(number + n, 7, 70, 11 + n % 2, "Ada", "text", at + n, source=source) for n in range(count)
    )
    return Passage(Conversation(70, "lounge", messages), (), messages)


def is_new(message: Message) -> bool:
    return message.created_at > SINCE


def offered(passages: list[Passage], known: set[int] | None = None, *, since: int = SINCE) -> list[Offer]:
    numbers = {m.id for each in passages for m in each.new}
    return offers_of(
        passages,
        lambda each: 100,
        may_learn=numbers,
        known=known or set(),
        is_new=is_new,
        since=since,
        now=NOW,
    )


def chosen(offers: list[Offer], tokens: int, *, known: set[int] | None = None, **changes: Any) -> Chosen:
    limits: dict[str, Any] = {"replay_share": 0.2, "backlog_share": 1.0, "half_life_days": 30.0}
    return choose(offers, Budget(tokens, **{**limits, **changes}), known=known or set(), seed=1)


OLD = [passage(n * 10, at=SINCE - n * DAY) for n in range(1, 100)]
NEW = [passage(5000 + n * 10, at=SINCE + 1000 + n) for n in range(10)]


def kinds(choice: Chosen) -> dict[str, int]:
    return {
        kind: sum(o.kind == kind for o in choice.taken) for kind in ("taught", "new", "backlog", "replay")
    }


def test_everything_new_comes_first_and_older_days_get_the_rest() -> None:
    found = chosen(offered([*OLD, *NEW]), 2000)
    assert kinds(found) == {"taught": 0, "new": 10, "backlog": 10, "replay": 0}
    assert found.crowded_out == 0


def test_a_fifth_is_for_what_was_learned_before() -> None:
    known = {m.id for each in OLD[:50] for m in each.new}
    found = chosen(offered([*OLD, *NEW], known), 2000, known=known)
    assert kinds(found) == {"taught": 0, "new": 10, "backlog": 6, "replay": 4}
    alone = chosen(offered([*OLD, *NEW], known), 2000, known=known, backlog_share=0.0, replay_share=0.0)
    assert kinds(alone) == {"taught": 0, "new": 10, "backlog": 0, "replay": 0}


def test_what_is_new_is_read_as_often_as_there_is_room_and_nobody_asked_for_more() -> None:
    for tokens, repeats in ((1200, 1), (2600, 2), (4000, 3), (9000, 3)):
        found = chosen(offered([*OLD, *NEW]), tokens, new_repeats=3)
        assert {offer.repeats for offer in found.taken if offer.kind == "new"} == {repeats}
        assert {offer.repeats for offer in found.taken if offer.kind != "new"} <= {1}
        assert sum(offer.cost for offer in found.taken) <= tokens


def test_what_nights_missed_is_read_as_often_as_what_is_new() -> None:
    missed = [passage(7000 + n * 10, at=SINCE - DAY + n) for n in range(5)]
    found = chosen(offered([*missed, *NEW], since=SINCE - 2 * DAY), 9000, new_repeats=3)
    assert {(offer.kind, offer.repeats) for offer in found.taken} == {("new", 3), ("missed", 3)}


def test_taught_pairs_are_repeated_in_half_of_the_budget_and_read_once_whatever_they_cost() -> None:
    taught = [passage(8000 + n * 10, at=SINCE + n, source="example") for n in range(5)]
    for tokens, repeats in ((300, 1), (2000, 2), (9000, 8)):
        found = chosen(offered([*OLD, *taught]), tokens, taught_repeats=8)
        assert [offer.repeats for offer in found.taken if offer.kind == "taught"] == [repeats] * 5


def test_where_not_even_the_new_fits_each_conversation_gets_its_first_stretch() -> None:
    long = [m for n in range(8) for m in passage(9000 + n * 10, at=SINCE + 5000 + n).new]
    whole = Conversation(70, "lounge", tuple(long))
    stretches = [Passage(whole, (), tuple(long[n : n + 2])) for n in range(0, 16, 2)]
    found = chosen(offered([*stretches, *NEW]), 1100)
    assert len(found.taken) == 11
    assert sum(o.passage.conversation is whole for o in found.taken) == 1
    assert found.crowded_out == 14


def test_taught_pairs_are_always_read_and_replayed_after_a_week() -> None:
    fresh = passage(1, at=NOW - 3 * DAY, source="example")
    known = {m.id for m in fresh.new}
    assert kinds(chosen(offered([fresh, *NEW], known), 100, known=known))["taught"] == 1
    old = passage(1, at=NOW - 8 * DAY, source="example")
    assert [offer.kind for offer in offered([old], known)] == ["replay"]
    assert [offer.kind for offer in offered([old])] == ["taught"]  # no version knows it yet


def test_newer_days_are_likelier() -> None:
    ages = [
        offer.age_days
        for seed in range(40)
        for offer in choose(offered(OLD), Budget(1000, 0.2, 1.0, 10.0), known=set(), seed=seed).taken
    ]
    assert sum(age < 20 for age in ages) > 3 * sum(age > 60 for age in ages)
    assert any(age > 20 for age in ages)


def test_a_stretch_with_one_new_message_teaches_its_older_ones_once_more() -> None:
    mixed = passage(1, at=SINCE + 10, count=3)
    [offer] = offered([mixed], {1})
    assert offer.kind == "new"
    assert offer.wanted == {1, 2, 3}


def test_what_may_not_be_learned_is_never_wanted() -> None:
    options: dict[str, Any] = {"known": (), "is_new": is_new, "since": SINCE, "now": NOW}
    [offer] = offers_of(NEW[:1], lambda each: 1, may_learn={5001}, **options)
    assert offer.wanted == {5001}
    assert offers_of(NEW[:1], lambda each: 1, may_learn=(), **options) == []


def test_after_nights_that_were_not_promoted_yesterday_still_comes_first() -> None:
    known = {m.id for each in OLD[40:] for m in each.new}
    offers = offered([*OLD, *NEW], known, since=SINCE - 20 * DAY)
    found = chosen(offers, 2000, known=known)
    assert kinds(found) == {"taught": 0, "new": 10, "backlog": 0, "replay": 4}
    missed = sorted(offer.age_days for offer in found.taken if offer.kind == "missed")
    assert len(missed) == 6
    assert missed[-1] < 8  # the days right before it


@settings(max_examples=80, deadline=None)
@given(tokens=st.integers(0, 30_000), known=st.sets(st.integers(0, 1000)), seed=st.integers(0, 5))
def test_the_budget_is_never_exceeded_and_the_same_seed_chooses_the_same(
    tokens: int, known: set[int], seed: int
) -> None:
    offers = offered([*OLD, *NEW], known)
    budget = Budget(tokens, 0.3, 1.0, 30.0)
    found = choose(offers, budget, known=known, seed=seed)
    assert sum(offer.tokens for offer in found.taken) <= tokens
    assert len({id(offer) for offer in found.taken}) == len(found.taken)
    assert found == choose(offers, budget, known=known, seed=seed)
