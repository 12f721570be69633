"""The ledger's records: frozen, equal by value, and in step with the types that name their states."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable

import pytest

from ledger import records
from ledger.learned.outcome import DONE
from ledger.records import FINAL_STAGES, Conversation, Message, Run, Stage

RECORDS = [
    kind for kind in vars(records).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)
]


def run(stage: Stage) -> Run:
    return Run("g1-20260302T120000", 1, stage, "test", 5)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_no_record_can_be_changed_or_given_a_field_of_no_meaning(kind: type) -> None:
    made = kind(*(None for field in dataclasses.fields(kind)))
    name = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, name, 1)
    assert not hasattr(made, "__dict__")


def test_records_of_the_same_values_are_equal_and_a_list_of_their_own_is_nobodys() -> None:
    assert run("kept") == run("kept")
    assert run("kept").counts is not run("kept").counts


@pytest.mark.parametrize("stage", typing.get_args(Stage))
def test_a_run_is_finished_in_its_final_stages_alone(stage: Stage) -> None:
    assert run(stage).finished == (stage not in {"planned", "prepared", "fitted", "evaluated"})


def test_final_stages_are_stages_and_hold_every_ending_that_did_its_work() -> None:
    assert set(typing.get_args(Stage)) > FINAL_STAGES > DONE


def test_a_conversation_lasts_from_its_first_message_to_its_last(message: Callable[..., Message]) -> None:
    first, last = message(1, created_at=10), message(2, created_at=30)
    talk = Conversation(100, "lounge", (first, message(3, created_at=20), last))
    assert (talk.started_at, talk.ended_at) == (10, 30)


def test_a_message_that_says_nothing_of_its_basis_may_not_be_kept() -> None:
    made = Message(1, 1, 100, 7, "Wren", "good evening", 5)
    assert (made.basis, made.source, made.is_bot) == (records.NOT_STORED, "discord", False)
