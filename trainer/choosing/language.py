"""Whether a text is language that somebody wrote, or a wall, keyboard mash, encoded data, code or a log.

Pure functions over texts. Letters of any script are language; what tells mash and code apart is known of
Latin letters and of punctuation alone, so that no script is suspected for being rare.
"""

from __future__ import annotations

import re
from collections import Counter

LINK = re.compile(r"<?(?:https?://|www\.)[^\s<>]+>?", re.IGNORECASE)

WALL = "walls of one word, letter or emoji"
MASH = "no language (mash or encoded data)"
DUMP = "code and logs"

WALL_CHARACTERS = 16
"""Shorter than this, "hahaha" and "!!!!!!" are answers like others."""
WALL_SHARE = 0.6
WALL_WORDS = 8
WALL_DISTINCT = 0.25
BLOB = re.compile(r"[A-Za-z0-9+=_-]{32,}")
"""Base64, hashes and keys, in pieces between slashes: with them every path to a file was one."""
MASH_LETTERS = 8
MASH_VOWELS = 0.2
"""Fewer vowels than this share no word has: "Angstschweiß", with eight consonants in a row, has a quarter."""
DUMP_CHARACTERS = 280
"""Code and logs up to this length stay: in a server about programming they are half of what is said."""
DUMP_SYMBOLS = 0.16
"""Share of characters that are neither letters, digits nor blanks; prose has 0.02 to 0.06. What stands
between backticks does not count: it is mentioned, in a sentence."""
DUMP_LINES = 6

_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_MENTIONED = re.compile(r"`[^`\n]+`")
_LATIN = re.compile(r"[A-Za-z]+")
_NO_VOWEL = re.compile(r"[bcdfghjklmnpqrstvwxz]{6,}")
"""Six consonants in a row; y is a vowel here."""
_ROWS = re.compile(r"[asdfghjkl]{7,}|[zxcvbnm]{7,}")
"""A row of keys; with five of them in a word, since "ahahaha" is laughter and "alfalfa" grows."""
_LOG_LINE = re.compile(
    r"\s*(?:[\[(]?\d{1,4}[-:/.]\d{1,2}[-:/.]\d{1,4}|(?:TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL)\b"
    r"|at \S+[(:]|File \"|in (?:block|sub|method|code|any)\b|0x[0-9a-f]{6,}|\$ \S|[#>]{1,3} )"
)


def link_alone(text: str) -> bool:
    """Tell whether the text is a link, or links, with no more than a name in front."""
    rest, links = LINK.subn(" ", text)
    if not links:
        return False
    words = re.findall(r"\w+", rest)
    return not words or (len(words) == 1 and re.match(r"\s*@?\S{1,32}[:,]?\s*$", rest) is not None)


def no_language(text: str) -> str:
    """Return which of this module's reasons speaks against the text, or an empty text."""
    plain = LINK.sub(" ", text).strip()
    if is_wall(plain):
        return WALL
    if is_mash(plain):
        return MASH
    return DUMP if is_dump(text) else ""


def is_wall(text: str) -> bool:
    """Tell whether one character or a few words make up nearly all of a long text."""
    dense = "".join(text.split())
    if len(dense) < WALL_CHARACTERS:
        return False
    commonest, count = Counter(dense).most_common(1)[0]
    if count >= WALL_SHARE * len(dense) and not commonest.isdigit():  # 1.0000000000000001 is a number
        return True
    # Joined and modified emoji are several characters each: what repeats is the sequence.
    if not any(map(str.isalnum, dense)) and len(set(dense)) <= len(dense) / 6:
        return True
    if _repeats(dense):
        return True
    words = text.casefold().split()
    return len(words) >= WALL_WORDS and len(set(words)) <= WALL_DISTINCT * len(words)


def _repeats(dense: str) -> bool:
    """Tell whether a piece of at most eight characters, four times or more, is all of the text."""
    return any(
        len(dense) >= 4 * size and dense[size:] == dense[:-size] for size in range(1, min(9, len(dense)))
    )


def is_mash(text: str) -> bool:
    """Tell whether most of the letters belong to encoded data or to fingers that fell on the keys."""
    dense = sum(map(len, text.split()))
    encoded = sum(len(blob) for blob in BLOB.findall(text) if _is_encoded(blob))
    if dense and encoded > 0.5 * dense:
        return True
    mashed = sum(len(word) for word in _LATIN.findall(text.casefold()) if _is_mashed(word))
    return mashed >= MASH_LETTERS and mashed > 0.6 * sum(map(str.isalpha, text))


def _is_mashed(word: str) -> bool:
    row = _ROWS.fullmatch(word)
    if row and len(set(word)) >= 5:
        return True
    found = _NO_VOWEL.search(word)
    if found is None or len(set(found[0])) < 4:  # "ohhhhhhh" is surprise
        return False
    return sum(map(word.count, "aeiouy")) < MASH_VOWELS * len(word)


def _is_encoded(blob: str) -> bool:
    """Tell whether letters of both cases and digits are mixed, or digits and hexadecimal letters alone."""
    kinds = (any(map(str.islower, blob)), any(map(str.isupper, blob)), any(map(str.isdigit, blob)))
    if re.fullmatch(r"[0-9a-fA-F-]+", blob):
        return kinds[2]
    # kebab-case-names-of-files and long_names_of_functions have no digits among capitals.
    return all(kinds) and sum(map(blob.count, "-_")) < len(blob) / 8


def is_dump(text: str) -> bool:
    """Tell whether a long text is code or a log for the most part."""
    if len(text) < DUMP_CHARACTERS:
        return False
    fenced = sum(map(len, _FENCED.findall(text)))
    if fenced >= DUMP_CHARACTERS and fenced > 0.6 * len(text):
        return True
    lines = [line for line in text.splitlines() if line.strip()]
    logged = sum(_LOG_LINE.match(line) is not None for line in lines)
    if len(lines) >= DUMP_LINES and logged > 0.5 * len(lines):
        return True
    plain = _MENTIONED.sub("", LINK.sub("", text))
    symbols = sum(not (character.isalnum() or character.isspace()) for character in plain)
    # Only ASCII's: combining marks of Hindi or Thai are no letters to Python either.
    foreign = sum(ord(character) > 127 and not character.isalnum() for character in plain)
    return len(plain) >= DUMP_CHARACTERS and symbols - foreign > DUMP_SYMBOLS * len(plain)


__all__ = ["DUMP", "LINK", "MASH", "WALL", "is_dump", "is_mash", "is_wall", "link_alone", "no_language"]
