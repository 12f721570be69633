"""Chat templates: what the bot's prompts need of one, and what is said where it is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.serving.chat_template import chat_template_fault, own_template

GOOD = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + GOOD
DROPS_SYSTEM = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"


def test_a_template_that_takes_the_prompts_is_no_fault() -> None:
    assert chat_template_fault(GOOD) == ""


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "has no chat template"),
        (NO_SYSTEM, "refuses a prompt with a system turn"),
        (DROPS_SYSTEM, "leaves out the system turn"),
        ("{% for %}", "refuses"),
    ],
)
def test_a_template_that_does_not_is_reported_with_the_fix(template: str, reason: str) -> None:
    fault = chat_template_fault(template)
    assert reason in fault
    assert "[model] chat_template" in fault


@pytest.mark.parametrize("held", [GOOD, [{"name": "default", "template": GOOD}]])
def test_the_template_stands_in_either_file(tmp_path: Path, held: object) -> None:
    assert own_template(tmp_path) == ""
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": held}))
    assert own_template(tmp_path) == GOOD
    (tmp_path / "chat_template.jinja").write_text("newer")
    assert own_template(tmp_path) == "newer"
