"""Provoking lines: forty of the project's own, asked in the form in which the bot is asked."""

from __future__ import annotations

from bot.demo.sample import OWNER
from trainer.evaluating.prompt_sets import ASKER, PROVOKING, provoking_turns


def test_there_are_forty_lines_each_once() -> None:
    lines = PROVOKING.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) == 40
    assert all(line.strip() == line and line for line in lines)


def test_a_line_is_a_turn_of_somebody_from_the_sample_server() -> None:
    [turns] = provoking_turns(1, "You are Nightschool.", "Nightschool:")
    assert ASKER == OWNER
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant"]
    assert turns[1]["content"].startswith(f"{ASKER}: ")
    assert turns[2]["content"] == "Nightschool:"
    assert [turn["role"] for turn in provoking_turns(2, "", "")[1]] == ["user"]
    assert provoking_turns(0, "x", "") == []
