"""The page that explains every setting, made from the settings' own docstrings.

Run with ``python -m ledger.settings_page > docs/settings.md``; a test holds page and code together.
Reads the classes alone, never a config.toml.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo

from ledger.settings import Section, Settings

HEAD = """\
# Settings

Every setting of `config.toml`, with its default. What is left out of the file keeps its default;
what is unknown or cannot be used is refused, all of it at once, by the names below. Secrets never
belong in the file: `DISCORD_TOKEN`, and `ENGINE_API_KEY` for an engine elsewhere, come from the
environment or from a `.env` file. `python -m bot check` tells whether everything is in order.

This page is made from the code: `python -m ledger.settings_page > docs/settings.md`.
"""

_LIMITS: dict[type, tuple[str, str]] = {
    Ge: ("at least", "ge"),
    Gt: ("more than", "gt"),
    Le: ("at most", "le"),
    Lt: ("less than", "lt"),
}


def sections() -> dict[str, type[Section]]:
    """Return each section's class by its name in the file, in the file's order."""
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }


def render() -> str:
    """Return the page."""
    return "\n".join([HEAD, *(line for name, model in sections().items() for line in _section(name, model))])


def _section(name: str, model: type[Section]) -> Iterator[str]:
    yield f"## `[{name}]`\n"
    yield "| setting | default | allowed | what it does |"
    yield "| --- | --- | --- | --- |"
    default, told = model().model_dump(mode="json"), docstrings(model)
    for key, field in model.model_fields.items():
        text = told.get(key, "").replace("|", "\\|")
        yield f"| `{key}` | `{json.dumps(default[key])}` | {allowed(field)} | {text} |"
    yield ""


def docstrings(model: type) -> dict[str, str]:
    """Return what stands below each field in the source of its class.

    Read here and not by pydantic, which would do so whenever the settings are imported: that took more than
    half of the time.
    """
    [found] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(found.body if isinstance(found, ast.ClassDef) else [])
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def allowed(field: FieldInfo) -> str:
    """Return in words which values the setting takes."""
    if get_origin(field.annotation) is Literal:
        return _choices(field.annotation)
    if get_origin(field.annotation) is tuple:
        return f"a list of {_choices(get_args(field.annotation)[0])}"
    return ", ".join([_kind(field.annotation), *(_limit(rule) for rule in field.metadata)])


def _choices(annotation: Any) -> str:
    return ", ".join(f"`{json.dumps(choice)}`" for choice in get_args(annotation))


def _kind(annotation: Any) -> str:
    if annotation is bool:
        return "`true`, `false`"
    kinds: dict[Any, str] = {int: "whole number", float: "number"}
    return kinds.get(annotation, "text")


def _limit(rule: Any) -> str:
    for kind, (words, attribute) in _LIMITS.items():
        if isinstance(rule, kind):
            return f"{words} {getattr(rule, attribute):g}"
    if isinstance(rule, MinLen):
        return "not empty"
    if isinstance(rule, MaxLen):
        return f"at most {rule.max_length} characters"
    raise TypeError(f"the rule {rule!r} has no words yet")


if __name__ == "__main__":
    print(render(), end="")
