"""Who may ask for which adapter, and what becomes of a chat request before it reaches the generator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from engine.generating.generation import Generator
from engine.generating.requests import Finished, TextPiece
from engine.http.model_service import ModelService, ServedBase, check_owner
from engine.http.protocol import ChatRequest, RequestRefused
from engine.model.loading import base_fingerprint

VERSION = "g17-v000003"


@pytest.fixture
async def service(
    start_generator: Callable[..., Generator], tokenizer: Any, tiny_base: Path, tmp_path: Path
) -> AsyncIterator[ModelService]:
    base = ServedBase("tiny", base_fingerprint(str(tiny_base)), 512, tokenizer)
    made = ModelService(start_generator(), base, adapters_dir=tmp_path / "adapters")
    yield made
    made.close()


def asked(**fields: Any) -> ChatRequest:
    return ChatRequest.model_validate(
        {"model": "base", "messages": [{"role": "user", "content": "where?"}], "temperature": 0, **fields}
    )


@pytest.mark.parametrize(
    ("owner", "told"),
    [(None, "name it in the header X-Nightschool-Guild"), ("1", "another"), ("", "another")],
)
def test_an_adapter_is_refused_to_everybody_but_its_owner(owner: str | None, told: str) -> None:
    check_owner(VERSION, "17")
    with pytest.raises(RequestRefused, match=told) as refused:
        check_owner(VERSION, owner)
    assert refused.value.status == 403


def test_a_name_that_says_no_owner_is_for_everybody() -> None:
    check_owner("somebodys-adapter", None)


async def test_the_base_has_two_names_and_is_for_everybody(service: ModelService) -> None:
    assert service.adapter_of("base", None) is None
    assert service.adapter_of("tiny", None) is None
    assert {card["id"] for card in service.models()} == {"base", "tiny"}
    with pytest.raises(RequestRefused) as refused:
        service.adapter_of(VERSION, "17")
    assert refused.value.status == 404


async def test_an_adapter_is_loaded_served_and_unloaded(
    service: ModelService, make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    make_adapter(tmp_path / "adapters", VERSION, 3)
    await service.load(VERSION, f"17/{VERSION}", "17")
    assert service.adapter_of(VERSION, "17") == VERSION
    assert service.models()[-1]["parent"] == "tiny"
    with pytest.raises(RequestRefused, match="already been loaded"):
        await service.load(VERSION, f"17/{VERSION}", "17")
    assert await service.unload(VERSION, "17")
    with pytest.raises(RequestRefused, match="cannot be found"):
        await service.unload(VERSION, "17")


async def test_nobody_loads_or_unloads_anothers_adapter(service: ModelService) -> None:
    for call in (service.load(VERSION, f"17/{VERSION}", "18"), service.unload(VERSION, None)):
        with pytest.raises(RequestRefused) as refused:
            await call
        assert refused.value.status == 403


async def test_a_flow_gives_text_and_then_its_end(service: ModelService) -> None:
    flow = await service.answer(asked(max_tokens=5), None)
    events = [event async for event in flow]
    assert all(isinstance(event, TextPiece) for event in events[:-1])
    assert isinstance(events[-1], Finished)
    assert events[-1].completion_tokens <= 5


async def test_a_flow_that_is_closed_frees_its_row(service: ModelService) -> None:
    flow = await service.answer(asked(max_tokens=400), None)
    flow.close()
    assert flow._answer is not None
    assert flow._answer.cancelled


async def test_more_tokens_than_fit_are_cut_to_what_fits(service: ModelService) -> None:
    flow = await service.answer(asked(max_tokens=100_000, min_tokens=0), None)
    assert flow._answer is not None
    request = flow._answer.request
    assert request.max_tokens == 512 - len(request.prompt)
    flow.close()


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"messages": [{"role": "user", "content": "owl " * 600}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "o" * 9000}]}, 400, "messages"),
        ({"logit_bias": {"99999999": 1}}, 400, "logit_bias"),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    service: ModelService, fields: dict[str, Any], status: int, param: str
) -> None:
    with pytest.raises(RequestRefused) as refused:
        await service.answer(asked(**fields), None)
    assert (refused.value.status, refused.value.param) == (status, param)
