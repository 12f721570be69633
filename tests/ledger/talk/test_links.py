"""Links: references decide, then the trained scorer, and nothing too far back."""

from __future__ import annotations

import random

from hypothesis import given

from ledger.records import Message
from ledger.talk.links import Link, links
from ledger.talk.talk_so_far import MENTION_REACH
from tests.ledger.talk.test_conversations import GAP, MINUTE, channels, said
from tests.timing import cpu_seconds

ADA, BO, CY, DI, ED = range(1, 6)


def parents(*messages: Message) -> list[int | None]:
    return [link.parent for link in links(messages, gap_ms=GAP)]


def asks(number: int, author: int, text: str, *, to: tuple[int, ...] = ()) -> Message:
    return Message(number, 1, 2, author, str(author), text, number * 20_000, mentions=to)


def test_a_reply_reference_decides() -> None:
    found = links([said(1, ADA, 0), said(2, BO, 1), said(3, CY, 900, reply_to=1)], gap_ms=GAP)
    assert found[2] == Link(3, 1, 1.0, explicit=True)


def test_a_reference_to_something_unknown_decides_nothing() -> None:
    found = links([said(1, ADA, 0), said(2, BO, 1, reply_to=404)], gap_ms=GAP)
    assert (found[1].parent, found[1].explicit) == (1, False)


def test_the_first_message_answers_nothing_for_sure() -> None:
    assert links([said(1, ADA, 0)], gap_ms=GAP) == [Link(1, None, 1.0)]


def test_who_is_named_is_answered_across_others() -> None:
    found = parents(
        asks(1, ADA, "how do I mount a usb drive?"),
        asks(2, BO, "does anyone know a good editor for latex?"),
        asks(3, CY, "try mount /dev/sdb1", to=(ADA,)),
        asks(4, DI, "vim with a plugin", to=(BO,)),
    )
    assert found[2:] == [1, 2]


def test_with_few_about_nobody_starts_anew() -> None:
    messages = [said(number, (ADA, BO, CY)[number % 3], number) for number in range(1, 30)]
    assert all(parent is not None for parent in parents(*messages)[1:])


def test_a_question_in_a_crowd_starts_something_new() -> None:
    talk = [
        asks(number, author, text, to=to)
        for number, (author, text, to) in enumerate(
            [
                (ADA, "how do I mount a usb drive?", ()),
                (BO, "which one is it?", (ADA,)),
                (CY, "my sound stopped after the update, any idea?", ()),
                (DI, "did you restart the server?", (CY,)),
                (ADA, "a stick with fat32 on it", (BO,)),
                (CY, "yes, twice", (DI,)),
                (ED, "hello, where can I find a list of mirrors?", ()),
            ],
            start=1,
        )
    ]
    found = links(talk, gap_ms=GAP)
    assert [link.parent for link in found[-3:]] == [2, 4, None]
    assert found[-1].probability > 0.5


def test_probabilities_are_shares() -> None:
    draw = random.Random(1)
    messages = [said(number, draw.randrange(6), number / 3) for number in range(200)]
    assert all(0 < link.probability <= 1 for link in links(messages, gap_ms=GAP))


@given(channels())
def test_a_link_leads_back_and_not_too_far(messages: list[Message]) -> None:
    at = {message.id: message.created_at for message in messages}
    for link in links(messages, gap_ms=GAP):
        if link.parent is not None:
            assert link.parent < link.message
            assert link.explicit or at[link.message] - at[link.parent] <= MENTION_REACH * GAP


@given(channels())
def test_later_messages_change_no_link(messages: list[Message]) -> None:
    half = len(messages) // 2
    assert links(messages[:half], gap_ms=GAP) == links(messages, gap_ms=GAP)[:half]


def test_sixty_messages_are_linked_while_somebody_waits() -> None:
    draw = random.Random(2)
    messages = [said(number, draw.randrange(8), number / 4) for number in range(60)]
    assert cpu_seconds(lambda: links(messages, gap_ms=15 * MINUTE)) < 0.2  # 0.02 s on an idle core
