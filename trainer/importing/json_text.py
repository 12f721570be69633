"""JSON of any length, read a piece at a time: one value in memory, whatever the file's size.

It knows where a text breaks off (:class:`CutOff`) and where it is wrong (:class:`Malformed`), but not what
it means. Its errors never quote the text. Why it is not ijson: docs/decisions.md.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

CHUNK_BYTES = 1 << 18
MAX_VALUE_CHARACTERS = 1 << 25
"""Longest single value, 32 M characters: far above any message, so that a broken file cannot fill memory.
It is checked before what is read of a value doubles, so a value may reach twice this length."""

_UNFINISHED = re.compile(r"[-+.eE0-9]*\Z")
"""What may continue a number that the end of a piece has split, as in "1" and ".5"."""
_BLANKS = re.compile(r"[ \t\r\n]*")
MAX_BLANKS = 1 << 20
"""Most blanks in a row: a file of nothing else is refused at once, however well it is packed."""
_NEAR_THE_END = 16  # characters: the next piece may complete an escape or a literal that seems wrong here


class CutOff(Exception):
    """The text ends in the middle of something."""


class Malformed(Exception):
    """The text is not what it claims to be; ``position`` counts characters, or is -1 if unknown."""

    def __init__(self, reason: str, position: int = -1) -> None:
        super().__init__(reason)
        self.position = position


class ByteSource(Protocol):
    """A binary file as ``open``, ``gzip`` and ``zipfile`` give it."""

    def read1(self, size: int, /) -> bytes: ...


class TextSource:
    """Characters out of bytes: UTF-8 or UTF-16 with its mark, a leading mark left out."""

    def __init__(self, source: ByteSource, *, limit: int | None = None) -> None:
        """``limit`` is the most bytes that ``source`` may unpack to."""
        self._source = source
        self._left = limit
        self._decoder: codecs.IncrementalDecoder | None = None
        self.ended = False
        self.cut_off = False
        """The compressed data ended early."""

    def read(self) -> str:
        """Return the next characters; an empty text once ``ended`` is set.

        Raises:
            Malformed: the bytes are not text, or the compression is broken.
        """
        while not self.ended:
            raw = self._bytes()
            self.ended = not raw
            if self._decoder is None and raw:
                name = "utf-16" if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
                self._decoder = codecs.getincrementaldecoder(name)()
            try:
                # Never final=True: half a character at the end means a cut, not a fault.
                text = self._decoder.decode(raw) if self._decoder else ""
            except UnicodeDecodeError as error:
                raise Malformed("it is not UTF-8 text") from error
            if text:
                return text
        return ""

    def lines(self) -> Iterator[tuple[str, bool]]:
        """Yield each line, and whether a line break ended it.

        Raises:
            Malformed: as :meth:`read`, or a line is longer than any message can be.
        """
        pending: list[str] = []
        waiting = 0
        while piece := self.read():
            first, *others = piece.split("\n")
            pending.append(first)
            waiting += len(first)
            if others:
                yield "".join(pending), True
                yield from ((line, True) for line in others[:-1])
                pending, waiting = [others[-1]], len(others[-1])
            if waiting > MAX_VALUE_CHARACTERS:
                raise Malformed("a line is longer than any message can be")
        if waiting:
            yield "".join(pending), False

    def _bytes(self) -> bytes:
        try:
            raw = self._source.read1(CHUNK_BYTES)
        except EOFError:
            self.cut_off = True
            return b""
        except (zlib.error, OSError) as error:
            raise Malformed("its compressed data is damaged") from error
        if self._left is not None:
            self._left -= len(raw)
            if self._left < 0:
                raise Malformed("it grows enormously when unpacked")
        return raw


class JsonText:
    """A cursor over JSON text: values are decoded one by one, containers are walked."""

    def __init__(self, source: TextSource) -> None:
        self._source = source
        # strict=False takes raw line breaks and tabs within texts, which some exporters write.
        self._decoder = json.JSONDecoder(strict=False)
        self._text = ""
        self._at = 0
        self._dropped = 0

    @property
    def position(self) -> int:
        """The number of characters in front of the cursor."""
        return self._dropped + self._at

    def peek(self) -> str:
        """Return the next character that is not blank, or an empty text at the end."""
        blanks = 0
        while True:
            before, self._at = self._at, _end(_BLANKS, self._text, self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            blanks += self._at - before
            if blanks > MAX_BLANKS:
                raise Malformed("it holds blanks alone from here on", self.position - blanks)
            if not self._more():
                return ""

    def take(self, allowed: str) -> str:
        """Step over one of the ``allowed`` characters and return it."""
        found = self.peek()
        if not found:
            raise CutOff
        if found not in allowed:
            raise Malformed(f"{' or '.join(allowed)} is missing", self.position)
        self._at += 1
        return found

    def value(self) -> Any:
        """Decode the value at the cursor and step over it.

        Raises:
            CutOff: the text ends within the value.
            Malformed: it is not JSON, is longer than any message, or holds an absurdly long number.
        """
        if not self.peek():
            raise CutOff
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                self._grow(error)
                continue
            except RecursionError as error:
                raise Malformed("it is nested too deeply", self.position) from error
            except ValueError as error:  # the interpreter's limit of 4,300 digits
                raise Malformed("a number has too many digits", self.position) from error
            # "12" at the end of a piece may go on as "123": only a number can be complete and yet not over.
            if isinstance(value, int | float) and _UNFINISHED.match(self._text, end) and self._longer():
                continue
            self._at = end
            return value

    def elements(self) -> Iterator[Any]:
        """Yield the array's elements at the cursor, one by one."""
        self.take("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self.take(",]") == "]":
                return

    def keys(self) -> Iterator[str]:
        """Yield the object's keys at the cursor; the caller consumes each key's value."""
        self.take("{")
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            if self.peek() not in ('"', ""):
                raise Malformed('" is missing', self.position)
            key = self.value()
            self.take(":")
            yield str(key)
            if self.take(",}") == "}":
                return

    def _grow(self, error: json.JSONDecodeError) -> None:
        """Read on if ``error`` may just mean that the value continues in the next piece."""
        # The decoder says "wrong" for what it has not seen the end of, so a fault near the end may be none.
        cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _NEAR_THE_END
        if not cut:
            raise Malformed(f"{error.msg[0].lower()}{error.msg[1:]}", self._dropped + error.pos) from error
        if not self._longer():
            raise CutOff from error

    def _longer(self) -> bool:
        """Double what has been read of the value at the cursor; return whether there was more."""
        if len(self._text) - self._at > MAX_VALUE_CHARACTERS:
            raise Malformed("one value is longer than any message can be", self.position)
        return self._more(at_least=len(self._text) - self._at)

    def _more(self, at_least: int = 1) -> bool:
        """Read ``at_least`` more characters. Doubling keeps a long value linear: each is decoded anew."""
        pieces: list[str] = []
        while at_least > 0 and (piece := self._source.read()):
            pieces.append(piece)
            at_least -= len(piece)
        self._dropped += self._at
        self._text = self._text[self._at :] + "".join(pieces)
        self._at = 0
        return bool(pieces)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Return where a pattern that always matches ends."""
    found = pattern.match(text, at)
    return found.end() if found else at
