"""Requests and answers as plain data: what is taken, what is refused, and in which form answers go out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.http.protocol import (
    ChatRequest,
    Completion,
    LoadRequest,
    RequestRefused,
    parse,
    sse,
    usage,
)


def asked(**fields: Any) -> ChatRequest:
    body = {"model": "base", "messages": [{"role": "user", "content": "hm"}], **fields}
    return parse(ChatRequest, json.dumps(body).encode())


def test_null_means_the_default_except_where_a_field_is_needed_or_unknown() -> None:
    assert asked(temperature=None, stop=None, n=None, user=None) == asked()
    for field in ("model", "messages", "anything"):
        with pytest.raises(RequestRefused) as refused:
            asked(**{field: None})
        assert refused.value.param == field


def test_parts_of_text_are_put_together_and_others_refused() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    (message,) = asked(messages=[{"role": "developer", "content": parts}]).messages
    assert message.turn() == {"role": "system", "content": "one two"}
    with pytest.raises(RequestRefused, match="only parts of type text"):
        asked(messages=[{"role": "user", "content": [{"type": "image_url"}]}])


@pytest.mark.parametrize(
    ("fields", "longest"),
    [({}, None), ({"max_tokens": 5}, 5), ({"max_tokens": 5, "max_completion_tokens": 7}, 7)],
)
def test_the_newer_name_of_the_limit_comes_first(fields: dict[str, int], longest: int | None) -> None:
    assert asked(**fields).longest == longest


@pytest.mark.parametrize("field", ["n", "echo", "tool_choice", "length_penalty", "stop_token_ids"])
def test_a_field_that_is_not_supported_is_taken_only_where_it_changes_nothing(field: str) -> None:
    neutral = {"n": 1, "echo": False, "tool_choice": "auto", "length_penalty": 1.0, "stop_token_ids": []}
    asked(**{field: neutral[field]})
    with pytest.raises(RequestRefused, match=f"{field} is not supported") as refused:
        asked(**{field: "a wish"})
    assert refused.value.param == field


BEGUN = [{"role": "user", "content": "Ada: hm"}, {"role": "assistant", "content": "Nightschool:"}]


def test_a_begun_answer_is_continued_in_vllms_form_and_no_other() -> None:
    flags = {"add_generation_prompt": False, "continue_final_message": True}
    assert asked(messages=BEGUN, **flags).continue_final_message
    assert not asked(messages=BEGUN).continue_final_message
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"continue_final_message": True}, "continue_final_message"),
        ({"add_generation_prompt": False}, "add_generation_prompt"),
        ({**flags, "messages": BEGUN[:1]}, "continue_final_message"),
        ({**flags, "messages": [{"role": "assistant", "content": " "}]}, "continue_final_message"),
    ]
    for fields, named in wrong:
        with pytest.raises(RequestRefused, match=named) as refused:
            asked(**{"messages": BEGUN, **fields})
        assert refused.value.param == named


def test_true_is_no_number_of_answers() -> None:
    with pytest.raises(RequestRefused, match="n is not supported"):
        asked(n=True)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"model": "base"}', b"\xff"])
def test_what_is_no_request_is_refused_without_quoting_it(raw: bytes) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse(ChatRequest, raw)
    assert refused.value.status == 400


def test_a_refusal_names_the_field_and_never_its_content() -> None:
    with pytest.raises(RequestRefused) as refused:
        parse(LoadRequest, json.dumps({"lora_name": "x", "lora_path": {"secret": "heron"}}).encode())
    body = refused.value.body()["error"]
    assert (body["param"], body["type"], body["code"]) == ("lora_path", "invalid_request_error", 400)
    assert "heron" not in json.dumps(body)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (500, "server_error"),
        (503, "overloaded_error"),
    ],
)
def test_each_status_has_openais_kind_of_error(status: int, kind: str) -> None:
    assert RequestRefused(status, "no").body()["error"]["type"] == kind


def test_an_answer_has_one_id_whole_or_in_chunks() -> None:
    form = Completion("base")
    whole = form.whole("owl", "stop", usage(3, 4))
    chunk = json.loads(form.chunk({"content": "owl"}).removeprefix(b"data: "))
    counted = json.loads(form.usage_chunk(usage(3, 4)).removeprefix(b"data: "))
    assert whole["id"] == chunk["id"] == counted["id"]
    assert whole["usage"] == counted["usage"]
    assert whole["usage"]["total_tokens"] == 7
    assert "usage" not in chunk
    assert counted["choices"] == []


def test_an_event_is_one_line_whatever_the_text_holds() -> None:
    event = sse({"content": "two\nlines and an owl 🦉"})
    assert event.count(b"\n") == 2
    assert event.endswith(b"\n\n")
    assert "🦉".encode() in event
    assert sse("[DONE]") == b"data: [DONE]\n\n"
