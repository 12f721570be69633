"""Features are numbers of rows: in bounds, one of each kind, and looking back alone."""

from __future__ import annotations

import random

from ledger.records import Message
from ledger.talk import link_features
from ledger.talk.link_features import ROWS, SPAN, START
from ledger.talk.talk_so_far import Said, TalkSoFar

WORDS = ["who", "the", "oven", "thanks", "hello", "yes", "http://a.example", "?", "Member1", "bread"]


def channel(count: int = 300) -> list[Message]:
    draw = random.Random(5)
    now, found = 0, []
    for number in range(1, count + 1):
        now += draw.choice([5_000, 40_000, 200_000, 2_000_000])
        text = " ".join(draw.choices(WORDS, k=draw.randrange(20)))
        author, to = draw.randrange(1, 7), tuple(draw.choices(range(1, 9), k=draw.randrange(3)))
        found.append(Message(number, 1, 1, author, f"Member{author}", text, now, mentions=to))
    return found


def rows_of(messages: list[Message]) -> list[tuple[list[int], list[list[int]]]]:
    talk, found, draw = TalkSoFar(900_000), [], random.Random(6)
    for message in messages:
        said = talk.read(message)
        candidates: list[Said] = talk.candidates(said)
        alone = link_features.of_message(talk, said)
        found.append((alone, link_features.of_pairs(talk, said, candidates)))
        talk.remember(said, draw.choice([None, *candidates]))
    return found


def test_every_feature_has_a_row_of_its_own_kind() -> None:
    found = rows_of(channel())
    pairs = [pair for _, each in found for pair in each]
    assert {len(alone) for alone, _ in found} == {len(link_features._MESSAGE)}
    assert {len(pair) for pair in pairs} == {len(link_features._PAIR)}
    bounds = list(zip(link_features._M, link_features._M[1:], strict=False))
    assert all(
        low <= row < high for alone, _ in found for row, (low, high) in zip(alone, bounds, strict=True)
    )
    bounds = list(zip(link_features._P, link_features._P[1:], strict=False))
    assert all(low <= row < high for pair in pairs for row, (low, high) in zip(pair, bounds, strict=True))


def test_rows_of_starts_and_of_pairs_do_not_overlap() -> None:
    assert link_features._M[0] == START + 1
    assert link_features._M[-1] + SPAN == link_features._P[0]
    assert link_features._P[-1] == ROWS


def test_what_comes_later_changes_nothing() -> None:
    messages = channel()
    assert rows_of(messages[:200]) == rows_of(messages)[:200]


def test_a_named_person_is_told_from_others() -> None:
    talk = TalkSoFar(900_000)
    for author in (1, 2):
        talk.remember(talk.read(Message(author, 1, 1, author, "", "hm", author)), None)
    said = talk.read(Message(3, 1, 1, 3, "", "hm", 3, mentions=(1,)))
    newest, named = link_features.of_pairs(talk, said, talk.candidates(said))
    relation = list(link_features._PAIR).index("relation")
    assert newest[relation] != named[relation]
