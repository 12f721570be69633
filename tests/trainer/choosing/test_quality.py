"""Which messages are no target tonight, and why."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.records import Message
from tests.timing import cpu_seconds
from trainer.choosing.quality import (
    BOT_QUOTED,
    CONTEXTLESS,
    DUPLICATE,
    FLOOD,
    IN_A_MINUTE,
    LINK_ALONE,
    WALL,
    unworthy,
)

START = 1_772_000_000_000
MINUTE = 60_000


def said(number: int, text: str, *, author: int = 7, at: int | None = None) -> Message:
    moment = START + number * MINUTE if at is None else at
    return Message(number, 1, 100, author, f"member {author}", text, moment)


def test_the_oldest_of_nearly_equal_messages_is_kept_whoever_wrote_them() -> None:
    text = "the spare key lies under the third pot by the shed"
    night = [said(3, text, author=9), said(1, text), said(2, f"{text}!", author=8)]
    assert unworthy(night) == {2: DUPLICATE, 3: DUPLICATE}


def test_everybody_may_say_thanks_and_one_person_twice_an_hour() -> None:
    night = [said(number, "thanks!", author=number % 3) for number in range(9)]
    assert unworthy(night) == dict.fromkeys((6, 7, 8), FLOOD)
    later = [said(number, "thanks!", at=START + number * 31 * MINUTE) for number in range(9)]
    assert unworthy(later) == {}


def test_one_emoji_again_and_again_is_a_flood_and_another_each_time_is_not() -> None:
    assert set(unworthy([said(n, "🦉") for n in range(5)]).values()) == {FLOOD}
    assert unworthy([said(n, face) for n, face in enumerate("🦉🌙🔥🐟🍞")]) == {}


def test_more_messages_in_a_minute_than_anybody_writes_are_a_flood() -> None:
    texts = [f"lamp number {n} is on" for n in range(IN_A_MINUTE + 3)]
    fast = [said(n, text, at=START + n * 1000) for n, text in enumerate(texts)]
    assert unworthy(fast) == dict.fromkeys(range(IN_A_MINUTE, IN_A_MINUTE + 3), FLOOD)
    shared = [replace(message, author_id=message.id % 2) for message in fast]
    assert unworthy(shared) == {}


def test_a_link_alone_teaches_nothing_and_a_wall_is_no_context_either() -> None:
    found = unworthy([said(1, "https://example.org/shed"), said(2, "🦉" * 60)])
    assert found == {1: LINK_ALONE, 2: WALL}
    assert WALL in CONTEXTLESS
    assert LINK_ALONE not in CONTEXTLESS


def test_who_repeats_the_bot_teaches_it_nothing() -> None:
    answers = ["I think the owl took the umbrella and flew off with it into the night.", "Ask the pigeon."]
    night = [
        said(1, "it said the owl took the umbrella and flew off with it!", author=1),
        said(2, "> Ask the pigeon.\nreally?", author=2),
        said(3, "the owl took the umbrella", author=3),
        said(4, "ask the pigeon", author=4),
    ]
    assert unworthy(night, bot_answers=answers) == {1: BOT_QUOTED, 2: BOT_QUOTED}
    assert unworthy(night) == {}


def test_a_custom_emoji_is_read_as_people_see_it() -> None:
    night = [said(n, f"<:owl:{123456789012345678 + n}>") for n in range(4)]
    assert unworthy(night) == {2: FLOOD, 3: FLOOD}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.text(max_size=40)), max_size=25), st.randoms())
def test_the_order_in_which_messages_come_changes_nothing(
    night: list[tuple[int, str]], draw: random.Random
) -> None:
    messages = [said(number, text, author=author) for number, (author, text) in enumerate(night)]
    found = unworthy(messages)
    draw.shuffle(messages)
    assert unworthy(messages) == found
    assert found.keys() <= {message.id for message in messages}


def test_ten_times_the_messages_take_about_ten_times_the_time() -> None:
    """Of one person in one minute, all beginning alike: what a flood would use against the night."""

    def seconds(count: int) -> float:
        draw = random.Random(3)
        night = [
            said(n, f"did anyone here see the {draw.random()} {draw.random()}", at=START + n % 60_000)
            for n in range(count)
        ]
        answers = [message.content for message in night[:50]]
        return cpu_seconds(lambda: unworthy(night, bot_answers=answers))

    assert seconds(8_000) < 30 * max(seconds(800), 0.01)
