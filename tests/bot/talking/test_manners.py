"""What of a model's words may be shown, whole and piece by piece."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.talking.manners import Mouth, to_last_sentence

NAMES = ("Nightschool", "ben", "Ivy Lane")


def said(raw: str, *, at_limit: bool = False, piece: int = 3) -> str:
    """Return what is shown of ``raw`` in the end; on the way nothing else may have been shown."""
    mouth = Mouth(NAMES)
    shown = [mouth.say(raw[place : place + piece]) for place in range(0, len(raw), piece)]
    if not mouth.looped:
        whole = mouth.finish(at_limit=False)
        assert all(whole.startswith(each) for each in shown)
    return mouth.finish(at_limit=at_limit)


@pytest.mark.parametrize("piece", [1, 2, 5, 400])
@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("good evening", "good evening"),
        ("Nightschool: good evening", "good evening"),
        ("  **nightschool:** good evening", "good evening"),
        ("<ben>: good evening", "good evening"),
        ("Nightschool: ben: good evening", "good evening"),
        ("Assistant: good evening", "good evening"),
        ("Sarah: good evening", "good evening"),
        ("**Sarah:** good evening", "good evening"),
        ("Sarah", "Sarah"),
        ("Monday: soup", "soup"),
        ("at 10:30: soup", "at 10:30: soup"),
        ("Sure thing.\nben: and what about me?\nNightschool: you too!", "Sure thing."),
        ("Sure thing.\n\n  @Ivy  Lane : and me?", "Sure thing."),
        ("Sure. ben: and me?", "Sure."),
        ("Sure.\nHuman: what is 2+2?", "Sure."),
        ("I asked ben: he is out.", "I asked ben: he is out."),
        ("ben is out. Benches are wet.\nbenign: a word", "ben is out. Benches are wet.\nbenign: a word"),
        ("ben", "ben"),
        ("-# I am no aside", "I am no aside"),
        ("Note: it rains.\nTip: stay in.", "Note: it rains.\nTip: stay in."),
        ("ben: ", ""),
        ('Like this: {\n  "id": 3,\n  "user": "x"\n}', 'Like this: {\n  "id": 3,\n  "user": "x"\n}'),
        ("```\nben: 3\n```\nThat is it.\nben: ok", "```\nben: 3\n```\nThat is it."),
    ],
)
def test_names_in_front_go_and_others_lines_end_the_answer(raw: str, shown: str, piece: int) -> None:
    assert said(raw, piece=piece) == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("I'm a lamplighter. " * 9, "I'm a lamplighter."),
        ("ha " * 20, "ha"),
        ("so soup it is and soup it will be then, " * 2, "so soup it is and soup it will be then,"),
        ("a" * 60, "aaa"),
        ("🎉" * 60, "🎉🎉🎉"),
        ("Yes? " + "😀😃" * 20, "Yes? 😀😃😀😃😀😃"),
        ("1. eat the soup\n2. eat the soup\n3. eat the soup\n", "1. eat the soup"),
        (
            "I like soup. It is warm here. I like soup. You are kind. I like soup. And tea.",
            "I like soup. It is warm here. I like soup. You are kind.",
        ),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 400])
def test_a_loop_is_cut_after_its_first_round(raw: str, shown: str, piece: int) -> None:
    assert said(raw, piece=piece) == shown


@pytest.mark.parametrize(
    "raw",
    [
        "no no no",
        "very, very good. Very good indeed.",
        "hahahaha, well",
        "wait... what?!",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "Row, row, row your boat gently down the stream.",
    ],
)
def test_emphasis_is_no_loop(raw: str) -> None:
    assert said(raw) == raw


def test_a_loop_ends_the_answer_before_the_model_does() -> None:
    mouth = Mouth(NAMES)
    for word in "I am a lamp. " * 4:
        mouth.say(word)
    assert mouth.over
    assert mouth.looped
    assert mouth.say("more") == "I am a lamp."


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("It rains. You should take an umbr", "It rains."),
        ('He said "go!" and then he we', 'He said "go!"'),
        ("First:\n1. soup\n2. bre", "First:\n1. soup"),
        ("a thought that never en", "a thought that never…"),
        ("```py\nprint(1)\n```\nand this is ho", "```py\nprint(1)\n```"),
        ("The pi is 3.14 or so and the", "The pi is 3.14 or so and…"),
        ("", ""),
    ],
)
def test_an_answer_at_the_limit_ends_with_its_last_sentence(raw: str, shown: str) -> None:
    assert to_last_sentence(raw) == shown
    assert said(raw, at_limit=True) == shown


def test_an_answer_that_ended_by_itself_is_whole() -> None:
    assert said("no full stop here") == "no full stop here"


@given(st.text(alphabet="bn:\n .ivylaeghtsco1*-# ", max_size=80), st.integers(1, 9))
def test_however_it_comes_the_same_is_shown_in_the_end(raw: str, piece: int) -> None:
    whole = Mouth(NAMES)
    whole.say(raw)
    text = said(raw, piece=piece)
    # A loop is found a word later where its end was not known yet; never is more cut than at once.
    if not whole.looped:
        assert text == whole.finish(at_limit=False)
    assert not text.casefold().startswith(tuple(f"{name}:".casefold() for name in NAMES))
