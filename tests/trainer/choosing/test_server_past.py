"""Who is new in a server, and which words are its own."""

from __future__ import annotations

from tests.trainer.choosing.villages import FIRST_DAY, said
from trainer.choosing.server_past import DAY_MS, NEW_DAYS, SETTLED_DAYS, ServerPast, phrases, spoken


def at(day: int) -> int:
    return FIRST_DAY + day * DAY_MS


def test_an_account_is_new_for_its_first_days_in_a_record_that_is_older() -> None:
    past = ServerPast.of([said(1, "hello", author=1, at=at(0)), said(2, "hello", author=2, at=at(30))])
    tonight = {1: at(40), 2: at(40), 3: at(40)}
    assert past.newcomers(tonight, now=at(40)) == {2, 3}
    assert past.newcomers(tonight, now=at(30 + NEW_DAYS)) == {3}
    assert past.newcomers({4: at(SETTLED_DAYS - 2)}, now=at(SETTLED_DAYS) - 1) == set()
    assert ServerPast().newcomers(tonight, now=at(40)) == set()


def test_a_word_belongs_to_the_server_once_somebody_else_uses_it() -> None:
    past = ServerPast.of([said(1, "the lamp glimmers", author=1, at=at(0))])
    assert past.unknown(["lamp", "glimmers", "pigeon", "42"], author=2) == 1
    assert past.unknown(["lamp", "glimmers"], author=1) == 2, "one's own words prove nothing"
    past.add([said(2, "which lamp?", author=2, at=at(1))])
    assert past.unknown(["lamp", "glimmers"], author=1) == 1


def test_links_and_mentions_are_no_words() -> None:
    assert spoken("see https://example.org/lamp <#123>") == ["see", "channel"]


def test_a_wording_is_four_words_or_eight_characters_without_spaces() -> None:
    assert phrases(spoken("The key is HERE, friends")) == {
        *phrases(spoken("the key is here")),
        *phrases(spoken("key is here friends")),
    }
    assert len(phrases(spoken("the key is here"))) == 1
    assert phrases(spoken("the key is")) == set()
    assert phrases(spoken("鍵は鉢の下にある")) < phrases(spoken("その鍵は鉢の下にあるよ"))
    assert phrases(spoken("鍵は鉢の下")) == set()


def test_the_newest_texts_come_in_order_whatever_order_they_were_added_in() -> None:
    past = ServerPast.of([said(n, f"text {n}", author=1, at=at(9 - n)) for n in range(5)])
    assert past.newest(2) == ["text 1", "text 0"]
