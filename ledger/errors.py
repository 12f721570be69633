"""Every error that Nightschool raises on purpose, under one root.

    NightschoolError            anything below; its text is one finished sentence for a person
    ├── ConfigurationError      settings that cannot be used (exit code 78)
    ├── ExtraMissing            a command whose packages are not installed
    ├── LedgerError             the database cannot be used, or is newer than this program
    ├── ImportRefused           an export that cannot be read
    ├── DatasetError            a dataset directory that cannot be trained on
    ├── ModelError              a base model that cannot be loaded
    ├── AdapterError            an adapter version that must not be served
    │   └── ParentTainted       or that a fit must not start from
    ├── EngineError             the model server refused or cannot be reached
    │   ├── EngineBusy          it is there, but its queue is full
    │   └── EngineLoading       it is starting, and has not loaded its model yet
    ├── NightBusy               another night of the same guild is under way
    └── RunCancelled            somebody stopped the night

The text says what failed, with which value, and what to do about it. It never holds the text of a
member's message: errors end up in logs.
"""

from __future__ import annotations


class NightschoolError(Exception):
    """Root of all errors raised on purpose; ``exit_code`` is what a command ends with."""

    exit_code = 1


class ConfigurationError(NightschoolError):
    """Settings that cannot be used. ``problems`` maps dotted names to what is wrong and the fix."""

    exit_code = 78

    def __init__(self, message: str, problems: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or {}


class ExtraMissing(NightschoolError):
    """A command whose packages are not installed; the text names the extra that brings them."""


class LedgerError(NightschoolError):
    """The database cannot be opened, or was written by a newer version."""


class ImportRefused(NightschoolError):
    """An export that cannot be read, or that nobody has declared lawful to use."""


class DatasetError(NightschoolError):
    """A dataset directory that cannot be trained on or evaluated."""


class ModelError(NightschoolError):
    """A base model that is not there or cannot be loaded."""


class AdapterError(NightschoolError):
    """An adapter version that must not be served: unknown, altered, or made for another base."""


class ParentTainted(AdapterError):
    """A version that a fit must not start from: it learned something deleted since, or was given up."""


class EngineError(NightschoolError):
    """The model server refused the request or cannot be reached."""


class EngineBusy(EngineError):
    """The model server is there, but its queue is full."""


class EngineLoading(EngineError):
    """The model server is starting: who waits will be answered."""


class NightBusy(NightschoolError):
    """Another night of the same guild is under way."""


class RunCancelled(NightschoolError):
    """Somebody stopped the night before it ended."""
