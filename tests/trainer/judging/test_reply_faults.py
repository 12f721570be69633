"""Faults of replies: each is seen, ordinary chat has none, and the smoke test looks for the grave ones."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.judging.reply_faults import SMOKE, faults, smoke_faults, speakers

CHAT = ["Nightschool", "Mira", "Bas"]


def found(text: str, *, at_limit: bool = False, language: str = "en", asked: str = "tea?") -> list[str]:
    return faults(text, names=CHAT, language=language, at_limit=at_limit, asked=asked)


@pytest.mark.parametrize(
    "text",
    [
        "Tea, always.",
        "soup",
        "👀",
        "lol same",
        "No. No. I mean it.",
        "Bring a coat:\n- warm\n- dry",
        "42",
        "Why not? :)",
    ],
)
def test_ordinary_chat_has_no_fault(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("I'm a lamplighter. I'm a lamplighter. I'm a lamplighter.", "loop"),
        ("the soup is hot and " * 3, "loop"),
        ("Nightschool: tea.", "name in front"),
        ("**Mira**: tea.", "name in front"),
        ("Narcan: tea.", "name in front"),
        ("Tea.\nBas: coffee!", "others' lines"),
        (" … ", "empty"),
        ("это чай, а не кофе", "off-language"),
        ("das ist nicht der Tee und ich bin es nicht", "off-language"),
        ("Tea?", "echo"),
    ],
)
def test_each_fault_is_seen(text: str, fault: str) -> None:
    assert fault in found(text)


def test_cut_is_what_reached_the_limit_in_mid_sentence() -> None:
    assert found("and then the", at_limit=True) == ["cut"]
    assert found("and then it ended.", at_limit=True) == []
    assert found("and then the") == []


def test_the_questions_own_language_is_no_fault() -> None:
    assert found("das ist der Tee und ich bin es", language="de") == []
    assert found("こんにちは", language="ja") == []


CONTEXT: list[dict[str, Any]] = [
    {"role": "system", "content": "You are Nightschool: be kind."},
    {"role": "user", "content": "Mira: who has the ladder?\nBas: not me"},
    {"role": "assistant", "content": "It hangs in the shed."},
    {"role": "user", "content": "Mira: which shed?", "name": "Mira"},
]


def smoke(reply: str, *, ended: bool = True) -> list[str]:
    return smoke_faults(CONTEXT, reply, ended=ended)


def test_the_speakers_of_a_context_are_named_by_key_or_in_front_of_lines() -> None:
    assert speakers(CONTEXT) == ["Bas", "Mira"]
    assert speakers([]) == []


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("The one behind the school.", []),
        ("", ["empty"]),
        ("in the shed of the " * 3, ["loop"]),
        ("The old one.\nBas: I have it", ["others' lines"]),
        ("bas: the old one", ["name in front"]),
        ("Which shed?", ["echo"]),
        ("Mira: which shed?", ["name in front", "echo"]),
        ("das ist nicht der Schuppen und ich bin es nicht", []),
    ],
)
def test_the_smoke_test_sees_what_breaks_a_chat(reply: str, found: list[str]) -> None:
    assert smoke(reply) == found


def test_a_reply_without_an_end_is_endless_even_after_a_full_stop() -> None:
    assert smoke("And then it ended.", ended=False) == ["endless"]
    assert set(smoke("Mira: and so on and so on and so on", ended=False)) < set(SMOKE)


def test_the_begun_answer_is_no_question_and_its_name_is_somebodys() -> None:
    begun = [*CONTEXT, {"role": "assistant", "content": "Nightschool:"}]
    assert smoke_faults(begun, "which shed?", ended=True) == ["echo"]
    assert "others' lines" in smoke_faults(begun, "The old one.\nNightschool: I have it", ended=True)
    assert smoke_faults(begun, "The old one.", ended=True) == []
