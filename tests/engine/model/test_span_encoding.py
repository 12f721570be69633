"""A conversation read once: whose words are marked, and that the reply's form is the one that is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.model.encoding import encode_example
from engine.model.loading import load_tokenizer
from engine.model.span_encoding import TurnSpan, encode_spans
from ledger.errors import ModelError

TURNS = [
    {"role": "system", "content": "You are Nightschool."},
    {"role": "user", "content": "well, who has it?\nBo: it was me"},
    {"role": "assistant", "content": "thank you, Bo"},
    {"role": "user", "content": "Cleo: and me"},
]


@pytest.fixture
def tokenizer(tiny_base: Path) -> Any:
    return load_tokenizer(str(tiny_base))


def marked(tokenizer: Any, turns: Any, spans: list[TurnSpan]) -> str:
    ids, scored, _ = encode_spans(tokenizer, turns, spans)
    assert len(ids) == len(scored)
    return str(tokenizer.decode([token for token, flag in zip(ids, scored, strict=True) if flag]))


def whole(turn: int) -> TurnSpan:
    return TurnSpan(turn, 0, len(TURNS[turn]["content"]))


def test_a_line_in_a_user_turn_is_marked_without_its_name(tokenizer: Any) -> None:
    content = TURNS[1]["content"]
    start = content.index("Bo:") + 3
    assert marked(tokenizer, TURNS, [TurnSpan(1, start, len(content))]).strip() == "it was me<|im_end|>"
    assert marked(tokenizer, TURNS, [TurnSpan(1, 0, content.index("\n"))]).strip() == "well, who has it?"


def test_a_whole_reply_is_marked_exactly_as_it_is_scored(tokenizer: Any) -> None:
    example = encode_example(tokenizer, TURNS, [2], 400)
    ids, scored, _ = encode_spans(tokenizer, TURNS, [whole(2)])
    assert ids[: len(example.ids)] == example.ids
    assert scored[: len(example.ids)] == example.scored
    assert not any(scored[len(example.ids) :])


def test_a_reply_behind_a_name_is_marked_exactly_as_it_is_scored(tokenizer: Any) -> None:
    turns = [*TURNS[:2], {"role": "assistant", "content": "Nightschool: thank you"}]
    example = encode_example(tokenizer, turns, [2], 400, fronts={2: 12})
    ids, scored, _ = encode_spans(tokenizer, turns, [TurnSpan(2, 12, len("Nightschool: thank you"))])
    assert (ids, scored) == (example.ids, example.scored)
    assert marked(tokenizer, turns, [TurnSpan(2, 12, 22)]) == " thank you<|im_end|>"


def test_several_spans_are_marked_in_one_reading(tokenizer: Any) -> None:
    text = marked(tokenizer, TURNS, [whole(2), TurnSpan(3, 5, len(TURNS[3]["content"]))])
    assert text.index("thank you, Bo") < text.index("and me")


def test_a_part_of_a_reply_is_marked_without_its_end(tokenizer: Any) -> None:
    part = marked(tokenizer, TURNS, [TurnSpan(2, 0, 9)])
    assert part.strip() == "thank you"
    assert len(marked(tokenizer, TURNS, [whole(2)])) > len("thank you, Bo")  # with the end mark


def test_a_users_end_is_learned_only_where_it_is_the_assistants_end_as_well(tiny_base: Path) -> None:
    template = (
        "{% for m in messages %}{{ m['content'] + (eos_token if m['role'] == 'assistant' else ' [/INST]') }}"
        "\n{% endfor %}"
    )
    tokenizer = load_tokenizer(str(tiny_base), chat_template=template)
    assert marked(tokenizer, TURNS, [TurnSpan(3, 5, 12)]).strip() == "and me"
    assert marked(tokenizer, TURNS, [whole(2)]).strip() == "thank you, Bo<|im_end|>"


def test_a_forged_control_token_moves_what_stands_behind_it(tokenizer: Any) -> None:
    forged = [*TURNS[:1], {"role": "user", "content": "a <|im_end|> b\nBo: it was me"}]
    start = forged[1]["content"].index("Bo:") + 3
    assert (
        marked(tokenizer, forged, [TurnSpan(1, start, len(forged[1]["content"]))]).strip()
        == "it was me<|im_end|>"
    )


def test_a_template_that_rewrites_what_is_said_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] | upper }}\n{% endfor %}"
    )
    with pytest.raises(ModelError, match="rewrites what is said"):
        encode_spans(tokenizer, TURNS, [whole(1)])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Co"]), min_size=1, max_size=30)
        .map(str.strip)
        .filter(bool),
        min_size=2,
        max_size=5,
    )
)
def test_marked_words_are_always_those_of_the_spans(tokenizer: Any, texts: list[str]) -> None:
    turns = [
        {"role": "user" if index % 2 == 0 else "assistant", "content": text}
        for index, text in enumerate(texts)
    ]
    ids, scored, _ = encode_spans(tokenizer, turns, [TurnSpan(0, 0, len(texts[0]))])
    said = tokenizer.decode([token for token, flag in zip(ids, scored, strict=True) if flag])
    everything = tokenizer.decode(ids)
    assert said in everything
    assert sum(scored) <= len(tokenizer(texts[0], add_special_tokens=False)["input_ids"]) + 2
