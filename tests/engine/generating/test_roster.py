"""Adapters come and go without losing a request, whatever the order."""

from __future__ import annotations

import pytest

from engine.generating.roster import Roster
from ledger.errors import AdapterError

NAME = "g1-v000001"


@pytest.fixture
def roster() -> Roster:
    made = Roster()
    made.add(NAME)
    return made


def test_the_bare_base_is_always_there() -> None:
    roster = Roster()
    roster.enter(None)
    roster.leave(None)
    assert roster.serving == frozenset()


def test_a_request_for_an_adapter_that_is_not_there_is_refused(roster: Roster) -> None:
    with pytest.raises(AdapterError, match="g9-v000001 is not loaded"):
        roster.enter("g9-v000001")


def test_a_retired_adapter_takes_no_more_requests_and_is_unused_after_its_last(roster: Roster) -> None:
    roster.enter(NAME)
    roster.enter(NAME)
    gone = roster.retire(NAME)
    assert roster.serving == frozenset()
    with pytest.raises(AdapterError):
        roster.enter(NAME)
    roster.leave(NAME)
    assert roster.unused() == []
    roster.leave(NAME)
    assert roster.unused() == [NAME]
    assert not gone.done()
    roster.removed(NAME)
    assert gone.done()
    assert roster.unused() == []


def test_an_adapter_cannot_retire_twice(roster: Roster) -> None:
    roster.retire(NAME)
    with pytest.raises(AdapterError, match="cannot be found"):
        roster.retire(NAME)


def test_a_retiring_adapter_that_is_called_back_keeps_its_requests(roster: Roster) -> None:
    roster.enter(NAME)
    gone = roster.retire(NAME)
    assert roster.revive(NAME)
    assert gone.done(), "whoever waits for it to leave is not kept waiting"
    assert roster.serving == {NAME}
    roster.enter(NAME)
    roster.leave(NAME)
    roster.leave(NAME)
    assert roster.unused() == [], "it serves, so nobody removes it"


def test_what_does_not_retire_cannot_be_called_back(roster: Roster) -> None:
    assert not roster.revive(NAME)
    assert not roster.revive("g9-v000001")
