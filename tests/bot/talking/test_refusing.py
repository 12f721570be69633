"""Whoever hurries is told once to wait; then there is silence for a while."""

from __future__ import annotations

from bot.talking.refusing import REMEMBERED, SILENT_SECONDS, Courtesy


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_person_waits_for_what_is_left_of_the_cooldown() -> None:
    clock = Clock()
    courtesy = Courtesy(30.0, clock)
    assert courtesy.wait(7) == 0.0
    courtesy.asked(7)
    clock.now += 12
    assert courtesy.wait(7) == 18.0
    assert courtesy.wait(8) == 0.0


def test_a_refusal_is_given_once_and_again_after_the_silence() -> None:
    clock = Clock()
    courtesy = Courtesy(30.0, clock)
    assert courtesy.says(("person", 7))
    assert courtesy.says(("channel", 7)), "another thing of the same number"
    clock.now += SILENT_SECONDS - 1
    assert not courtesy.says(("person", 7))
    clock.now += 1
    assert courtesy.says(("person", 7))


def test_of_a_crowd_only_what_still_counts_is_remembered() -> None:
    clock = Clock()
    courtesy = Courtesy(30.0, clock)
    for number in range(REMEMBERED):
        courtesy.asked(number)
        courtesy.says(("person", number))
    clock.now += SILENT_SECONDS
    courtesy.asked(-1)
    courtesy.says(("person", -1))
    assert list(courtesy._asked) == [-1]
    assert list(courtesy._said) == [("person", -1)]
