"""What is language, in any script, and what is not."""

from __future__ import annotations

import pytest

from trainer.choosing.language import DUMP, MASH, WALL, link_alone, no_language

LANGUAGE = [
    "ok",
    "👍",
    "???",
    "hahahaha",
    "Muahahahaha!",
    "ohhhhhhh",
    "noooooooooo way",
    "Angstschweiß",
    "Donaudampfschifffahrtsgesellschaft, what a word",
    "1.0000000000000001",
    "Zmrzlina? Vždyť je zima.",
    "Кто-нибудь кормил закваску сегодня? Она уже больше банки.",
    "今日は誰かパン種に餌をやりましたか。もう瓶より大きいです。",
    "هل أطعم أحد العجين اليوم؟ لقد أصبح أكبر من الجرة.",
    "כל הכבוד, נתראה מחר בערב ליד המחסן הישן",
    "क्या आज किसी ने खमीर को खिलाया? वह जार से बड़ा हो गया है।",
    "วันนี้มีใครให้อาหารแป้งเปรี้ยวหรือยัง มันโตกว่าขวดแล้วนะ",
    "the file is /srv/garden/notes/2026/lamp-of-the-shed/readme.txt, third line",
    "it says `my $x = lamp.new(:on); say $x.^name` in my notes, and I do not know what the caret means",
    "see https://example.org/aGVsbG8gd29ybGQ_aGVsbG8gd29ybGQ-aGVsbG8gd29ybGQ for the recipe",
    "We meet on Thursday, because on Friday the kitchen belongs to the choir. " * 2 + "Bring a lamp, please.",
]
CODE = "for (let i = 0; i < lamps.length; i++) { lamps[i].on(); log(`${i}: ${lamps[i]}`); }\n"
CODES = "".join(CODE.replace("lamps", name) for name in ("lamps", "jars", "cats", "keys", "pots", "owls"))
LOG = "".join(
    f"2026-03-02 12:00:{n:02} ERROR the lamp {n * 37} did not answer in {n}.5 s\n" for n in range(8)
)
WORDS = (
    "the lamp is on, the shed is dark, nobody knows why, the cat has left with a key, and the choir sings "
)


@pytest.mark.parametrize("text", LANGUAGE)
def test_what_people_say_is_language(text: str) -> None:
    assert no_language(text) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("🦉" * 40, WALL),
        ("👩‍👩‍👧‍👦" * 12, WALL),
        ("🦉🌙" * 20, WALL),
        ("a" * 50, WALL),
        ("lamp " * 30, WALL),
        ("free lamps! " * 10, WALL),
        ("сова" * 20, WALL),
        ("asdfghjkl asdfkjh sdfghjkl", MASH),
        ("kjhsdkjfhskdjfh wkjrhtkwjrth", MASH),
        ("aGVsbG8gd29ybGQsIHRoaXMgaXMgYmFzZTY0IGFuZCBub2JvZHkgcmVhZHMgaXQ1", MASH),
        ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", MASH),
        (CODES, DUMP),
        (f"```\n{WORDS * 3}\n```", DUMP),
        (LOG, DUMP),
    ],
)
def test_what_is_no_language_is_told_with_its_reason(text: str, reason: str) -> None:
    assert no_language(text) == reason


def test_short_code_is_talk_among_those_who_write_it() -> None:
    assert no_language(CODE) == ""


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("https://example.org/shed", True),
        ("<https://example.org/shed> https://example.org/lamp", True),
        ("wren: https://example.org/shed", True),
        ("https://example.org/shed is the recipe", False),
        ("no link at all", False),
        ("これを見て https://example.org/shed すごいよ", False),
    ],
)
def test_a_link_with_no_more_than_a_name_is_alone(text: str, *, alone: bool) -> None:
    assert link_alone(text) is alone
