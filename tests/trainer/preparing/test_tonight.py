"""Tonight: worth learning, new first, and of nobody too much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ledger.people.quarantine import Detained
from ledger.records import Message, Role
from ledger.settings import Settings
from trainer.builders import dataset_limits_of
from trainer.choosing.choice import QUARANTINED
from trainer.preparing.arranging import unjudged
from trainer.preparing.conversation_parts import Parts, conversations_of
from trainer.preparing.material import DAY_MS, Material, Start
from trainer.preparing.selection import Rules
from trainer.preparing.tonight import Tonight, counted, estimated, tonight, worth_of

NOW = 1000 * DAY_MS
LIMITS = replace(dataset_limits_of(Settings()), first_night_tokens=100_000, night_tokens=100_000)
WORDS = (
    *("lamp", "jar", "cat", "choir", "ladder", "screw", "router"),
    *("kitchen", "school", "shed", "friday", "bicycle", "umbrella", "evening"),
)


def said(number: int, author: int, *, at: int, text: str = "") -> Message:
    own = " ".join(WORDS[(number * step + step) % len(WORDS)] for step in (1, 2, 3, 5, 7, 11))
    return Message(number, 7, 70, author, f"p{author}", text or f"{own} {number}", at, source="import")


def day(first: int, *, ago: int, authors: Sequence[int] = (11, 12, 13, 14)) -> list[Message]:
    """Return forty messages of a day, minutes apart."""
    start = NOW - ago * DAY_MS - 12 * 3_600_000
    return [said(first + n, authors[n % len(authors)], at=start + n * 120_000) for n in range(40)]


def material(messages: Sequence[Message], **changes: object) -> Material:
    found = Material(7, "Shed", messages, Rules({}, {}), {}, {}, {}, b"k", NOW - DAY_MS, NOW)
    return replace(found, **changes)  # type: ignore[arg-type]


def chosen(
    messages: Sequence[Message],
    start: Start | None = None,
    roles: Mapping[int, Role] | None = None,
    **limits: object,
) -> Tonight:
    read = material(messages, roles=roles or {})
    begin = start or Start()
    talks = conversations_of(messages, {}, gap_ms=15 * 60_000)
    worth = worth_of(messages, read, begin, toxicity=unjudged)
    kept = replace(LIMITS, **{"person_share": 1.0, **limits})  # type: ignore[arg-type]
    return tonight(Parts(tuple(talks), (), (), ()), worth, read, kept, begin)


def test_yesterday_is_learned_whole_and_older_days_get_the_rest() -> None:
    old, new = day(1000, ago=3), day(2000, ago=0)
    found = chosen([*old, *new], first_night_tokens=2000)
    assert {message.id for message in new} <= found.learned
    assert 0 < len(found.learned - {message.id for message in new}) < 40
    assert found.waiting == frozenset()


def test_what_once_tested_is_never_learned_whatever_it_is_joined_to() -> None:
    messages = day(2000, ago=0)
    tested = messages[7].id
    assert tested in chosen(messages).learned
    assert tested not in chosen(messages, roles={tested: "exam"}).learned


def test_what_finds_no_room_is_counted_as_waiting() -> None:
    new = day(2000, ago=0)
    found = chosen(new, first_night_tokens=520)
    assert 0 < len(found.learned) < 40
    assert found.waiting == {message.id for message in new} - found.learned


def test_days_after_the_version_that_it_starts_from_count_as_new() -> None:
    messages = [*day(1000, ago=5), *day(2000, ago=0)]
    start = Start("v1", frozenset(), frozenset(), NOW - 6 * DAY_MS)
    found = chosen(messages, start, night_tokens=3000, backlog_share=0.0)
    assert found.learned == {message.id for message in messages}


def test_nobody_has_more_than_a_share_and_the_rest_of_theirs_is_context() -> None:
    crowd = [message for n in range(6) for message in day(1000 + 100 * n, ago=n, authors=range(20, 40))]
    loud = day(5000, ago=0, authors=(99,))
    found = chosen([*crowd, *loud], person_share=0.05)
    tokens: Counter[int] = Counter()
    by_id = {message.id: message for message in (*crowd, *loud)}
    for number in found.learned:
        tokens[by_id[number].author_id] += estimated([by_id[number].content])[0]
    assert tokens[99] <= 0.06 * tokens.total()
    assert found.over_share > 20
    assert any(99 in {m.author_id for m in offer.passage.new} for offer in found.taken)


def test_a_detained_persons_words_are_neither_learned_nor_context() -> None:
    messages = [*day(1000, ago=3), *day(2000, ago=0)]
    held = {11: Detained(7, 11, NOW - 4 * DAY_MS, NOW + DAY_MS, ("abuse",))}
    worth = worth_of(messages, material(messages, held=held), Start(), toxicity=unjudged)
    theirs = {message.id for message in messages if message.author_id == 11}
    assert worth.without >= theirs
    assert counted(worth, messages)[QUARANTINED] == len(theirs)


def test_lengths_are_guessed_by_bytes_where_there_is_no_tokenizer() -> None:
    assert estimated(["", "abc", "привет"]) == [1, 2, 5]


def test_a_share_is_counted_in_the_words_that_are_learned_however_many_messages_they_are() -> None:
    start = NOW - 12 * 3_600_000
    long = " ".join(WORDS * 2)
    messages = [
        said(
            n,
            11 + n % 10,
            at=start + n * 60_000,
            text=f"{long} {n}" if n % 10 == 0 else f"{WORDS[n % 14]} {n}",
        )
        for n in range(400)
    ]
    found = chosen(messages, person_share=0.12, first_night_tokens=10**6)
    sizes = {m.id: size for m, size in zip(messages, estimated([m.content for m in messages]), strict=True)}
    mine = sum(sizes[m.id] for m in messages if m.id in found.learned and m.author_id == 11)
    assert 0 < mine <= 0.13 * sum(sizes[number] for number in found.learned)
