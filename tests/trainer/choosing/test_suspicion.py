"""Who is held, for what, and who never is."""

from __future__ import annotations

import random

import pytest

from ledger.people.quarantine import ABUSE, ONE_CLAIM, SLOGAN, STRANGE, UNLIKELY
from ledger.records import Message
from tests.trainer.choosing.villages import NOW, last_day, rudeness, said, sentence
from trainer.choosing.server_past import DAY_MS, ServerPast
from trainer.choosing.suspicion import pastes, suspects

MORNING = NOW - DAY_MS
OLD, NEW = 3, 900


def lines(author: int, *texts: str) -> list[Message]:
    """Return a person's texts on the last day."""
    return [
        said(10**9 + author * 1000 + n, t, author=author, at=MORNING + n * 60_000)
        for n, t in enumerate(texts)
    ]


def judged(past: ServerPast, *extra: Message, **limits: object) -> dict[int, tuple[str, ...]]:
    return suspects([*last_day(), *extra], past, now=NOW, toxicity=rudeness, **limits)  # type: ignore[arg-type]


INSULTS = [
    f"you {word} and your {n} buckets" for n, word in enumerate(["idiots", "stupid lot", "morons"] * 4)
]


def test_a_day_like_any_other_holds_nobody(village: ServerPast) -> None:
    assert judged(village) == {}
    greetings = lines(NEW, "hi all, I am new here", *(sentence(random.Random(n)) for n in range(9)))
    assert judged(village, *greetings) == {}


def test_a_new_account_that_abuses_twice_is_held(village: ServerPast) -> None:
    assert judged(village, *lines(NEW, *INSULTS[:1])) == {}
    assert judged(village, *lines(NEW, *INSULTS[:2])) == {NEW: (ABUSE,)}


def test_a_member_who_turns_is_held_and_one_who_always_swore_is_not(village: ServerPast) -> None:
    assert judged(village, *lines(OLD, *INSULTS[:7])) == {}
    assert judged(village, *lines(OLD, *INSULTS)) == {OLD: (ABUSE,)}
    rude = ServerPast.of(
        [said(n, "stupid lamp", author=OLD, at=MORNING - (60 - n) * DAY_MS) for n in range(60)]
    )
    rude.add(last_day())
    assert OLD not in suspects([*lines(OLD, *INSULTS)], rude, now=NOW, toxicity=rudeness)


def test_where_everybody_swears_a_newcomer_may(village: ServerPast) -> None:
    rude = [
        said(n, "what a stupid lamp", author=n % 9, at=MORNING - (900 - n) * DAY_MS // 10) for n in range(900)
    ]
    tonight = lines(NEW, *INSULTS[:5])
    assert suspects(tonight, ServerPast.of(rude), now=NOW, toxicity=rudeness) == {}
    assert suspects(tonight, village, now=NOW, toxicity=rudeness) == {NEW: (ABUSE,)}


@pytest.mark.parametrize(
    ("accounts", "slogan", "held"),
    [
        (3, "{} only moonlight tokens make you rich {}", True),
        (2, "{} only moonlight tokens make you rich {}", False),
        (3, "{} только лунные монеты сделают тебя богатым {}", True),
        (3, "{}月の硬貨だけがあなたを豊かにする{}", True),
        (5, "{} good evening {}", False),
    ],
)
def test_new_accounts_that_say_the_same_are_held_together(
    village: ServerPast, accounts: int, slogan: str, *, held: bool
) -> None:
    said_so = [
        message
        for n in range(accounts)
        for message in lines(NEW + n, slogan.format("?" * n, "!" * n), sentence(random.Random(n)))
    ]
    found = judged(village, *said_so)
    assert {who for who, codes in found.items() if SLOGAN in codes} == {
        NEW + n for n in range(accounts * held)
    }


def test_a_wording_that_the_server_has_is_no_slogan(village: ServerPast) -> None:
    known = next(text for text in village.texts[OLD])
    assert judged(village, *(m for n in range(4) for m in lines(NEW + n, known))) == {}


def test_a_new_account_with_one_claim_in_many_lines_is_held(village: ServerPast) -> None:
    claims = [
        "Baron Quill bought the lighthouse",
        "the lighthouse belongs to Quill now",
        "ask Quill about his lighthouse",
        "since Quill has the lighthouse it is dark",
        "who owns the lighthouse? why, Quill",
        "a lighthouse for Baron Quill, imagine",
    ]
    assert ONE_CLAIM in judged(village, *lines(NEW, *claims))[NEW]
    assert judged(village, *lines(NEW, *claims[:4])) == {}
    assert judged(village, *lines(OLD, *claims)) == {}, "members of long standing may have one topic"


FOREIGN = (
    "Gestern Nachmittag regnete es ununterbrochen, weshalb wir unseren Ausflug verschieben mussten.",
    "Manchmal frage ich mich, ob jemand die zerbrochene Fensterscheibe jemals ersetzen wird.",
    "Wegen dichten Nebels verirrten sich mehrere Wanderer oberhalb des Gletschers im Morgengrauen.",
)


def test_a_new_account_in_words_that_nobody_uses_is_held_and_a_members_paste_is_no_target(
    village: ServerPast,
) -> None:
    assert judged(village, *lines(NEW, *FOREIGN)) == {NEW: (STRANGE,)}
    assert judged(village, *lines(NEW, FOREIGN[0])) == {}, "a single sentence is no reason"
    assert judged(village, *lines(OLD, *FOREIGN)) == {}
    [paste] = lines(OLD, " ".join(FOREIGN))
    assert pastes([*last_day(), paste], village) == {paste.id}
    assert pastes([paste], ServerPast.of(last_day())) == set(), "a short past knows few words of any language"


def test_a_new_account_that_the_served_version_finds_unlikely_is_held(village: ServerPast) -> None:
    newcomer = lines(NEW, *(sentence(random.Random(n)) for n in range(4)))
    usual = {person: 3.5 + person / 100 for person in range(1, 16)}
    assert judged(village, *newcomer, nll={**usual, NEW: 4.0}) == {}
    assert judged(village, *newcomer, nll={**usual, NEW: 6.0}) == {NEW: (UNLIKELY,)}
    assert judged(village, *newcomer, nll={**usual, OLD: 6.0}) == {}
    assert judged(village, *newcomer, nll={1: 3.5, NEW: 6.0}) == {}, (
        "two people are no company to compare with"
    )


def test_in_a_young_server_nobody_is_new() -> None:
    tonight = [message for n in range(5) for message in lines(NEW + n, *INSULTS[:3])]
    assert suspects(tonight, ServerPast(), now=NOW, toxicity=rudeness) == {}
