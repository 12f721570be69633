"""The bench of manners: each fault is seen, and ordinary chat has none."""

import pytest

from manners_faults import faults

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
