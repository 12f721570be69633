"""The errors raised on purpose: one root, exit codes, and a tree that says what the classes are."""

from __future__ import annotations

import re

import pytest

from ledger import errors
from ledger.errors import ConfigurationError, NightschoolError

ALL: dict[str, type[NightschoolError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, NightschoolError)
}


def test_every_error_is_below_the_root_so_that_one_handler_catches_all() -> None:
    raised = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert raised == set(ALL)
    assert len(raised) > 10


def test_the_tree_in_the_docstring_is_that_of_the_classes() -> None:
    assert errors.__doc__ is not None
    drawn: dict[str, str] = {}
    above = ["NightschoolError"]
    for indent, name in re.findall(r"^    (.*?)[├└]── (\w+)", errors.__doc__, re.MULTILINE):
        depth = len(indent) // 4 + 1
        drawn[name] = above[depth - 1]
        above[depth:] = [name]
    assert drawn == {
        name: kind.__base__.__name__
        for name, kind in ALL.items()
        if kind is not NightschoolError and kind.__base__ is not None
    }


@pytest.mark.parametrize("name", sorted(ALL))
def test_only_settings_that_cannot_be_used_end_with_78(name: str) -> None:
    # sysexits.h: 78 is EX_CONFIG, after which a service manager need not try again.
    assert ALL[name]("One sentence.").exit_code == (78 if name == "ConfigurationError" else 1)


def test_an_error_shows_its_sentence_and_a_configuration_error_its_problems_besides() -> None:
    error = ConfigurationError("Two settings are wrong.", {"bot.name": "is empty"})
    assert str(error) == "Two settings are wrong."
    assert error.problems == {"bot.name": "is empty"}
    assert ConfigurationError("The file is missing.").problems == {}
