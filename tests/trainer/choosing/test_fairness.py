"""Nobody's share is exceeded, nobody is lost, and a small server is not starved."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.choosing.fairness import Target, cap, within_share

SHARE = 0.12
ENOUGH = math.ceil(1 / SHARE)

TARGETS = st.lists(st.tuples(st.integers(1, 25), st.integers(1, 6), st.integers(1, 80)), max_size=120)


def tokens_of(targets: list[Target], kept: list[int]) -> Counter[int]:
    found: Counter[int] = Counter()
    for index in kept:
        found[targets[index][0]] += targets[index][2]
    return found


def lines(**tokens: int) -> list[Target]:
    """Return messages of ten tokens, as many as each person's tokens make."""
    return [(int(who[1:]), n % 4, 10) for who, count in tokens.items() for n in range(count // 10)]


@settings(max_examples=300, deadline=None)
@given(TARGETS, st.none() | st.integers(0, 3000), st.integers(0, 9))
def test_no_voice_exceeds_its_share_but_by_a_single_message(
    targets: list[Target], budget: int | None, seed: int
) -> None:
    kept = within_share(targets, share=SHARE, budget=budget, seed=seed)
    tokens, messages = tokens_of(targets, kept), Counter(targets[index][0] for index in kept)
    assert kept == sorted(set(kept))
    assert within_share(targets, share=SHARE, budget=budget, seed=seed) == kept
    if budget is not None:
        assert tokens.total() <= budget
    if len({author for author, _, _ in targets}) >= ENOUGH:
        loud = {who for who, count in tokens.items() if count > SHARE * tokens.total()}
        assert all(messages[who] == 1 for who in loud)


@settings(max_examples=200, deadline=None)
@given(TARGETS, st.integers(0, 9))
def test_without_a_budget_everybody_is_heard(targets: list[Target], seed: int) -> None:
    kept = within_share(targets, share=SHARE, seed=seed)
    assert {targets[index][0] for index in kept} == {author for author, _, _ in targets}


@settings(max_examples=200, deadline=None)
@given(TARGETS, st.integers(0, 9))
def test_fewer_people_than_fill_the_shares_keep_an_equal_part_at_least(
    targets: list[Target], seed: int
) -> None:
    few = [(author % (ENOUGH - 1), talk, tokens) for author, talk, tokens in targets]
    kept = tokens_of(few, within_share(few, share=SHARE, seed=seed)).total()
    people, whole = len({author for author, _, _ in few}), sum(tokens for _, _, tokens in few)
    longest = max((tokens for _, _, tokens in few), default=0)
    assert kept >= (whole / people if people else 0) - longest


@settings(max_examples=100, deadline=None)
@given(TARGETS, st.randoms(), st.integers(0, 9))
def test_the_cap_is_the_largest_that_holds(targets: list[Target], draw: random.Random, seed: int) -> None:
    """With messages of one token nothing is lost to rounding: one more for the loudest breaks the share."""
    fine = [(author, talk, 1) for author, talk, tokens in targets for _ in range(tokens)]
    tokens = tokens_of(fine, within_share(fine, share=SHARE, seed=seed))
    said = Counter(author for author, _, _ in fine)
    if len(said) < ENOUGH:
        return
    cut = [who for who in said if tokens[who] < said[who]]
    # A level between two whole numbers leaves each of those who are cut up to one token, and one more each.
    slack = 2 * len(cut) + 2
    assert not cut or max(tokens.values()) + slack >= SHARE * tokens.total()


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.integers(1, 60), st.integers(1, 5000), min_size=ENOUGH),
    st.dictionaries(st.integers(0, 60), st.integers(0, 5000)),
)
def test_the_level_is_the_largest_that_is_no_more_than_the_share(
    demands: dict[int, int], beside: dict[int, int]
) -> None:
    level = cap(demands, share=SHARE, rest=sum(beside.values()), old=beside)
    others = sum(tokens for who, tokens in beside.items() if who not in demands)
    wholes = [beside.get(who, 0) + tokens for who, tokens in demands.items()]

    def spare(at: float) -> float:
        return SHARE * (others + sum(min(whole, at) for whole in wholes)) - at

    assert spare(min(level, max(wholes))) >= -1e-6 * max(wholes)
    assert level >= max(wholes) or spare(level * 1.01 + 0.01) < 0


def test_whoever_writes_a_third_of_the_day_keeps_the_share() -> None:
    others = {f"p{n}": 100 for n in range(2, 16)}
    targets = lines(p1=700, **others)
    tokens = tokens_of(targets, within_share(targets, share=SHARE))
    assert tokens[1] == 190  # 12 % of 1,590
    assert all(tokens[int(who[1:])] == 100 for who in others)


def test_replay_counts_towards_the_whole_and_towards_its_author() -> None:
    targets = lines(p1=700, **{f"p{n}": 100 for n in range(2, 16)})
    assert len(within_share(targets, share=SHARE, beside={0: 5000})) == len(targets)
    tokens = tokens_of(targets, within_share(targets, share=SHARE, beside={0: 4300, 1: 700}))
    assert tokens[1] == 70  # with the 700 of the replay 12 % of 6,470, less what makes no message
    assert tokens_of(targets, within_share(targets, share=SHARE, beside={1: 5000}))[1] == 0


def test_two_friends_alone_keep_what_they_said() -> None:
    targets = lines(p1=500, p2=500)
    assert len(within_share(targets, share=SHARE)) == 100
    targets = lines(p1=900, p2=100)
    assert tokens_of(targets, within_share(targets, share=SHARE)) == {1: 500, 2: 100}
    assert within_share(lines(p1=900), share=SHARE) == list(range(90))
    # On a quiet day of a large server the share of the whole night is more than an equal part.
    assert len(within_share(targets, share=SHARE, beside={0: 7000})) == 100
    assert tokens_of(targets, within_share(targets, share=SHARE, beside={0: 1000}))[1] == 500


@pytest.mark.parametrize("friends", [2, 4, 14])
def test_five_new_accounts_get_one_persons_part_together(friends: int) -> None:
    """Neither does their number lift the relaxed cap of a small server, nor does it starve the others."""
    old = {f"p{n}": 100 for n in range(1, friends + 1)}
    new = {f"p{n}": 200 for n in range(101, 106)}
    targets = lines(**old, **new)
    tokens = tokens_of(targets, within_share(targets, share=SHARE, newcomers=range(101, 106)))
    together = sum(tokens[n] for n in range(101, 106))
    voices = friends + 1
    assert all(tokens[n] == 100 for n in range(1, friends + 1))
    most = SHARE * tokens.total() if voices >= ENOUGH else (1000 + 100 * friends) / voices
    assert 0 < together <= most
    assert max(tokens[n] for n in range(101, 106)) - min(tokens[n] for n in range(101, 106)) <= 10


def test_where_everybody_is_new_newcomers_are_people_like_others() -> None:
    targets = lines(**{f"p{n}": 100 for n in range(1, 11)})
    assert len(within_share(targets, share=SHARE, newcomers=range(1, 11))) == len(targets)


def test_a_budget_is_shared_up_to_one_level_and_drawn_from_all_conversations() -> None:
    targets = lines(p1=400, p2=400, p3=50, **{f"p{n}": 100 for n in range(4, 16)})
    kept = within_share(targets, share=SHARE, budget=600, seed=3)
    tokens = tokens_of(targets, kept)
    assert tokens.total() == 600
    assert max(tokens.values()) - min(tokens.values()) <= 10
    assert {targets[index][1] for index in kept if targets[index][0] == 1} == {0, 1, 2, 3}
    assert within_share(targets, share=SHARE, budget=600, seed=4) != kept


def test_many_targets_take_little_time() -> None:
    draw = random.Random(1)
    targets = [(int(draw.paretovariate(0.6)) % 300, n // 20, draw.randrange(1, 60)) for n in range(20_000)]
    tokens = tokens_of(targets, within_share(targets, share=SHARE))
    assert max(tokens.values()) <= SHARE * tokens.total()
