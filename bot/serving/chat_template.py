"""Whether a base model's chat template accepts the bot's prompts; finds out without torch.

Renders as transformers does: Jinja in a sandbox, with its three additions.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

_FIX = "set [model] chat_template, or take an instruct model (python -m engine fetch-small)"
_TURNS = [
    {"role": "system", "content": "You are in a chat."},
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": "how are you?"},
]


def own_template(folder: Path) -> str:
    """Return the chat template in a model's folder, or an empty text."""
    page = folder / "chat_template.jinja"
    if page.is_file():
        return page.read_text(encoding="utf-8")
    try:
        held = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template")
    except (OSError, ValueError, AttributeError):
        return ""
    if isinstance(held, list):  # several templates, by name
        named = {each.get("name"): each.get("template") for each in held if isinstance(each, dict)}
        held = named.get("default")
    return held if isinstance(held, str) else ""


def chat_template_fault(template: str) -> str:
    """Return why the template does not accept the bot's prompts, with the fix, or an empty text."""
    if not template:
        return f"The base model has no chat template: {_FIX}."
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = json.dumps
    environment.globals.update(raise_exception=_refuse, strftime_now=datetime.now().strftime)
    names: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}
    try:
        text = environment.from_string(template).render(messages=_TURNS, **names)
    except (TemplateError, TypeError, ValueError) as error:
        return f"The base model's chat template refuses a prompt with a system turn ({error}): {_FIX}."
    if "You are in a chat." not in text:
        return f"The base model's chat template leaves out the system turn: {_FIX}."
    return ""


def _refuse(reason: str) -> NoReturn:
    raise TemplateError(reason)


__all__ = ["chat_template_fault", "own_template"]
