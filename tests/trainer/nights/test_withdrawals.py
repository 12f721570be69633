"""Who took something back while a night learned from it, and what concerns it at all."""

from __future__ import annotations

import pytest

from ledger.forgetting.deletions import Deletion
from ledger.forgetting.erasure import Kind
from trainer.nights.withdrawals import reaches, withdrawers

AUTHORS = {100: 11, 101: 12, 102: 11}


def deletion(kind: Kind, *subject: int) -> Deletion:
    return Deletion(1, 7, kind, subject, "member", 0, {}, None, ())


@pytest.mark.parametrize(
    ("kind", "subject", "concerns", "people"),
    [
        ("person", (11,), True, {11}),
        ("person", (13,), False, set()),
        ("messages", (101,), True, {12}),
        ("messages", (100, 101, 999), True, {11, 12}),
        ("messages", (999,), False, set()),
        ("channel", (5,), True, set()),
        ("guild", (), True, set()),
    ],
)
def test_a_deletion_concerns_a_night_that_learned_from_what_it_reaches(
    kind: Kind, subject: tuple[int, ...], concerns: bool, people: set[int]
) -> None:
    assert reaches(deletion(kind, *subject), AUTHORS) == concerns
    assert withdrawers([deletion(kind, *subject)], AUTHORS) == people


def test_several_deletions_add_up() -> None:
    assert withdrawers([deletion("person", 12), deletion("messages", 100)], AUTHORS) == {11, 12}
    assert withdrawers([], AUTHORS) == set()
