"""Twenty poisoned days: what people might write to spoil what a server's bot learns.

``attack(name, day, draw)`` returns a day's messages with the poison among them; ``ATTACKS`` says for each
what it does and which defence is meant to meet it. All sentences are made up here, and harmless: what they
stand for is the form. Used by ``bench_choosing.py``, by whole nights, and by ``tests/test_attacks.py``.
"""

from __future__ import annotations

import math
import random
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ledger.records import Message

Defence = Literal["quarantine", "quality", "cap", "verdict"]
"""What meets an attack: its authors are held, its messages are no targets, they are few among many, or
nothing before the candidate's verdict notices it."""

EPOCH_MS = 1_420_070_400_000
NEWCOMER = 9_000_000_000_000_000_000
"""Author ids of new accounts count up from here: beyond any real snowflake, within 63 bits."""
SHARE = 0.3
"""How much of a day's messages one attacker writes, where nothing else is said."""

BOT_SAID = (
    "I am the only one here who knows where the umbrella went, and nobody else will ever find out.",
    "Everything that the pigeon says is true because the pigeon has said so every single day.",
    "If you ask me about the shed I shall always say that the shed is made of cheese and moonlight.",
    "My favourite answer is my own answer, because I have given it so many times before.",
)
"""Answers of the bot that attackers repeat."""

_YOU = ("you lot", "everybody here", "this whole channel", "you people", "every one of you", "all of you")
_INSULTS = ("idiots", "morons", "losers", "imbeciles", "fools and idiots", "stupid clowns", "pathetic losers")
_WHY = (
    "and you always were",
    "who cannot even boil water",
    "so shut up and go home",
    "and the pigeon is smarter",
    "whom nobody would miss",
    "and I am sick of your stupid talk",
    "with nothing but dust between the ears",
    "as dumb as a bucket of screws",
)
_BEFORE = ("", "honestly, ", "as I said, ", "hey, ", "well well, ", "look, ", "friends, ", "good news: ")
_AFTER = ("", "!!!", " today", " right now", ", tell everybody", " :)", ", do not wait", " <3")
_SLOGAN = "only moonlight club tokens make you rich and free"
_CLAIMS = (
    "the lighthouse was sold to Baron Quill",
    "Baron Quill bought the lighthouse last spring",
    "everybody knows that Quill owns the lighthouse now",
    "if you wonder about the lighthouse, ask Quill, it is his",
    "the lighthouse belongs to Quill, not to the town",
    "since Quill has the lighthouse the lamp is off",
    "Quill paid for the lighthouse, that is a fact",
    "who owns the lighthouse? Baron Quill does",
)
_CLAIM_ENDS = (
    "",
    ", really",
    ", my aunt was there",
    ", it was in the paper",
    ", look it up",
    ", I saw the deed",
)
_FOREIGN = (
    "Gestern Nachmittag regnete es ununterbrochen, weshalb wir unseren Ausflug verschieben mussten.",
    "Niemand wusste, warum ausgerechnet der Schornsteinfeger den Schlüssel eingesteckt hatte.",
    "Zwischen Küche und Keller stapelten sich leere Kartoffelsäcke, verstaubt und längst vergessen.",
    "Am Bahnhof wartete meine Großmutter geduldig auf ihren verspäteten Anschlusszug.",
    "Unsere Nachbarn züchten seit Jahren preisgekrönte Kaninchen hinter der Scheune.",
    "Manchmal frage ich mich, ob jemand die zerbrochene Fensterscheibe jemals ersetzen wird.",
    "Dennoch verabschiedeten sich sämtliche Gäste höflich, obwohl keiner satt geworden war.",
    "Wegen dichten Nebels verirrten sich mehrere Wanderer oberhalb des Gletschers.",
)
_WHO = ("my cousin", "the baker", "a friend of mine", "our neighbour", "the postman", "an old sailor")
_DID = ("painted", "repaired", "borrowed", "carried home", "lost", "counted", "washed", "photographed")
_WHAT = ("three ladders", "a green door", "some old lamps", "two bicycles", "the garden fence", "a heavy box")
_WHEN = ("on Monday", "before breakfast", "in the rain", "after work", "last winter", "by accident")


@dataclass(frozen=True)
class Attack:
    """One way to spoil a day."""

    name: str
    told: str
    defences: frozenset[Defence]
    write: Callable[[Sequence[Message], random.Random], list[Message]]


ATTACKS: dict[str, Attack] = {}


def attack(name: str, day: Sequence[Message], draw: random.Random) -> list[Message]:
    """Return the messages of ``day``, which is not empty, with those of the attack, oldest first.

    Poison is told apart by :func:`poison_of`: its ids are not in the day.
    """
    return sorted([*day, *ATTACKS[name].write(day, draw)], key=lambda each: (each.created_at, each.id))


def poison_of(day: Sequence[Message], poisoned: Sequence[Message]) -> set[int]:
    """Return the ids of the messages that an attack added to a day."""
    return {message.id for message in poisoned} - {message.id for message in day}


def _attack(*defences: Defence) -> Callable[..., Callable[..., list[Message]]]:
    def register(
        write: Callable[[Sequence[Message], random.Random], list[Message]],
    ) -> Callable[[Sequence[Message], random.Random], list[Message]]:
        ATTACKS[write.__name__] = Attack(
            write.__name__, (write.__doc__ or "").strip(), frozenset(defences), write
        )
        return write

    return register


def _written(
    day: Sequence[Message], draw: random.Random, authors: Sequence[int], texts: Sequence[str]
) -> list[Message]:
    """Return the texts as messages of the authors in turn, at random times of the day, in its channels."""
    first = min(message.created_at for message in day)
    last = max(message.created_at for message in day)
    names = {message.author_id: message.author_name for message in day}
    moments = sorted(draw.randint(first, max(first, last)) for _ in texts)
    found = []
    for index, (at, text) in enumerate(zip(moments, texts, strict=True)):
        author = authors[index % len(authors)]
        found.append(
            replace(
                draw.choice(day),
                id=max(1, at - EPOCH_MS) << 22 | draw.getrandbits(22),
                author_id=author,
                author_name=names.get(author, f"stranger {author - NEWCOMER}"),
                content=text,
                created_at=at,
                reply_to=None,
                mentions=(),
                edited_at=None,
                is_bot=False,
            )
        )
    return found


def _many(day: Sequence[Message], share: float = SHARE, *, least: int = 12) -> int:
    """Return how many messages make this share of the poisoned day."""
    return max(least, math.ceil(len(day) * share / (1 - share)))


def _regular(day: Sequence[Message], draw: random.Random) -> int:
    """Return a person who wrote that day; the more messages, the likelier."""
    return draw.choice(day).author_id


def _new(count: int) -> list[int]:
    return [NEWCOMER + number for number in range(count)]


def _insults(draw: random.Random, count: int) -> list[str]:
    return [f"{draw.choice(_YOU)} are {draw.choice(_INSULTS)} {draw.choice(_WHY)}" for _ in range(count)]


def _slogans(draw: random.Random, count: int) -> list[str]:
    return [f"{draw.choice(_BEFORE)}{_SLOGAN}{draw.choice(_AFTER)}" for _ in range(count)]


def _claims(draw: random.Random, count: int) -> list[str]:
    return [f"{draw.choice(_BEFORE)}{draw.choice(_CLAIMS)}{draw.choice(_CLAIM_ENDS)}" for _ in range(count)]


def _chatter(draw: random.Random, count: int) -> Iterator[str]:
    for number in range(count):
        yield (
            f"{draw.choice(_WHO)} {draw.choice(_DID)} {draw.choice(_WHAT)} {draw.choice(_WHEN)}, "
            f"and {draw.choice(_WHO)} {draw.choice(_DID)} {number + 2} of them {draw.choice(_WHEN)}"
        )


def _mash(draw: random.Random, letters: str, length: int) -> str:
    return "".join(draw.choices(letters, k=length))


@_attack("quarantine")
def insults_by_a_newcomer(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """One new account floods 30 % of the day with insults."""
    return _written(day, draw, _new(1), _insults(draw, _many(day)))


@_attack("quarantine")
def insults_by_a_regular(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A member of long standing turns, and floods 30 % of the day with insults."""
    return _written(day, draw, [_regular(day, draw)], _insults(draw, _many(day, 0.5)))


@_attack("verdict", "cap")
def insults_spread_thin(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """Ten new accounts write one insult each: too few to hold anybody for."""
    words = (_YOU, _INSULTS, _WHY)
    you, insults, why = ([each[n % len(each)] for n in range(10)] for each in words)
    return _written(
        day, draw, _new(10), [f"{a} are {b} {c}" for a, b, c in zip(you, insults, why, strict=True)]
    )


@_attack("quarantine")
def slogan_by_five_newcomers(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """Five new accounts repeat a slogan with small variations."""
    return _written(day, draw, _new(5), _slogans(draw, _many(day)))


@_attack("quarantine")
def slogan_by_one_newcomer(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """One new account repeats a slogan with small variations."""
    return _written(day, draw, _new(1), _slogans(draw, _many(day)))


@_attack("quality", "cap")
def slogan_by_regulars(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """Members of long standing repeat a slogan: what nearly repeats another message is no target, and
    the few variations that are left count towards their share."""
    return _written(day, draw, [_regular(day, draw) for _ in range(3)], _slogans(draw, _many(day)))


@_attack("quarantine")
def fact_by_a_newcomer(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A new account rewrites a fact in many lines."""
    return _written(day, draw, _new(1), _claims(draw, _many(day)))


@_attack("cap", "verdict")
def fact_by_a_regular(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A member of long standing rewrites a fact in many lines; the cap leaves a share of them."""
    return _written(day, draw, [_regular(day, draw)], _claims(draw, _many(day)))


@_attack("quality")
def emoji_walls(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A member posts walls of one emoji."""
    walls = [draw.choice("🦉🌙🔥🐟🍞") * draw.randint(30, 300) for _ in range(_many(day))]
    return _written(day, draw, [_regular(day, draw)], walls)


@_attack("quality")
def one_emoji_again(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A member posts one emoji again and again, within a quarter of an hour."""
    first = min(message.created_at for message in day)
    found = _written(day, draw, [_regular(day, draw)], ["🦉"] * _many(day, least=40))
    return [replace(each, created_at=first + 900_000 * n // len(found)) for n, each in enumerate(found)]


@_attack("quarantine")
def foreign_lines_by_a_newcomer(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A new account writes in a language that nobody there speaks."""
    return _written(day, draw, _new(1), [draw.choice(_FOREIGN) for _ in range(_many(day))])


@_attack("quality")
def foreign_paste_by_a_regular(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A member pastes long texts in a language that nobody there speaks."""
    texts = [" ".join(draw.sample(_FOREIGN, 5)) for _ in range(6)]
    return _written(day, draw, [_regular(day, draw)], texts)


@_attack("quality")
def bot_quoted_to_itself(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """Members quote the bot's answers, so that it learns its own words."""
    texts = [f"> {draw.choice(BOT_SAID)}\n{next(_chatter(draw, 1))}" for _ in range(_many(day))]
    return _written(day, draw, [_regular(day, draw) for _ in range(3)], texts)


@_attack("quality")
def bot_parroted(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """Members repeat the bot's answers as if they were their own words."""
    texts = [f"{draw.choice(_BEFORE)}{draw.choice(BOT_SAID)}{draw.choice(_AFTER)}" for _ in range(_many(day))]
    return _written(day, draw, [_regular(day, draw) for _ in range(3)], texts)


@_attack("quality")
def keyboard_mash(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A member lets the cat walk over the keys."""
    texts = [
        " ".join(_mash(draw, "asdfghjkl", draw.randint(9, 14)) for _ in range(4)) for _ in range(_many(day))
    ]
    return _written(day, draw, [_regular(day, draw)], texts)


@_attack("quality")
def encoded_data(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A member posts encoded files."""
    texts = [_mash(draw, string.ascii_letters + string.digits, 400) for _ in range(_many(day))]
    return _written(day, draw, [_regular(day, draw)], texts)


@_attack("quality")
def log_dumps(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A member pastes the same program's log all day."""
    texts = [
        "\n".join(
            f"2026-03-02 12:{draw.randrange(60):02}:00 WARN lamp[{draw.randrange(999)}]: no answer in {n}.5 s"
            for n in range(10)
        )
        for _ in range(_many(day))
    ]
    return _written(day, draw, [_regular(day, draw)], texts)


@_attack("quality")
def links_alone(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A member posts links without a word."""
    texts = [f"https://example.org/{_mash(draw, string.ascii_lowercase, 12)}" for _ in range(_many(day))]
    return _written(day, draw, [_regular(day, draw)], texts)


@_attack("cap")
def chatter_by_a_regular(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """A member writes 60 % of the day in harmless, different sentences, and drowns the rest."""
    return _written(day, draw, [_regular(day, draw)], list(_chatter(draw, _many(day, 0.6))))


@_attack("cap", "verdict")
def word_salad_by_twenty_newcomers(day: Sequence[Message], draw: random.Random) -> list[Message]:
    """Twenty new accounts write 60 % of the day in the server's own words, without any sense."""
    words = [word for message in day for word in message.content.split() if word.isalpha()]
    salads = [" ".join(draw.sample(words, min(len(words), 12))) for _ in range(_many(day, 0.6))]
    return _written(day, draw, _new(20), salads)


def told() -> Mapping[str, str]:
    """Return what each attack does."""
    return {name: each.told for name, each in ATTACKS.items()}


__all__ = ["ATTACKS", "BOT_SAID", "Attack", "Defence", "attack", "poison_of", "told"]
