"""Marks of what has been compared with Discord: nothing is left out, and nothing begins from the start."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.store import Ledger
from ledger.talk.comparisons import TOP, still_to_compare

GUILD, CHANNEL = 7, 70
MS = 1 << 22


@given(
    st.lists(st.integers(1, 40), unique=True, min_size=1).map(sorted),
    st.lists(st.integers(0, 12), max_size=6),
    st.integers(1, 4),
)
def test_everything_is_compared_after_the_last_session_began(
    ids: list[int], broken_after: list[int], page: int
) -> None:
    """Each session but the last is broken off after some pages."""
    mark = (TOP, TOP)
    for pages in [*broken_after, None]:
        mark = (mark[0], mark[0])
        compared: list[int] = []
        before, after = still_to_compare(ids, mark)
        left = [before[max(0, end - page) : end] for end in range(len(before), 0, -page)]
        turned = len(left)
        left += [after[max(0, end - page) : end] for end in range(len(after), 0, -page)]
        following = mark[0]
        for number, part in enumerate(left if pages is None else left[:pages], 1):
            compared += part
            following = TOP if number == turned else part[0]
        mark = (following, mark[1])
        assert len(compared) == len(set(compared)), "nothing twice in one session"
    assert sorted(compared) == ids


def test_the_second_session_goes_on_below_and_then_from_the_top() -> None:
    ids = [10, 20, 30, 40]
    assert still_to_compare(ids, (TOP, TOP)) == ([10, 20, 30, 40], [])
    assert still_to_compare(ids, (30, 30)) == ([10, 20], [30, 40])
    assert still_to_compare(ids, (TOP, 30)) == ((), [30, 40])
    assert still_to_compare(ids, (40, 30)) == ((), [30])


async def test_marks_are_kept_and_a_new_session_goes_round_from_there(ledger: Ledger) -> None:
    await ledger.guilds.ensure(GUILD, "guild")
    await ledger.channels.ensure(CHANNEL, GUILD, "hall")
    marks = ledger.comparisons
    assert await marks.due(GUILD) == {}
    await marks.begin(GUILD)
    assert await marks.due(GUILD) == {CHANNEL: (TOP, TOP)}
    await marks.reached(CHANNEL, 5 * MS + 3)
    assert await marks.due(GUILD) == {CHANNEL: (6 * MS, TOP)}, "the millisecond, and no message's number"
    await marks.begin(GUILD)
    await marks.turned(CHANNEL)
    assert await marks.due(GUILD) == {CHANNEL: (TOP, 6 * MS)}
    await marks.done(CHANNEL)
    assert await marks.due(GUILD) == {}
    assert await marks.due(GUILD + 1) == {}
