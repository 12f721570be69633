"""The engine over HTTP: OpenAI chat completions and vLLM's runtime LoRA calls.

Talks to the bot's own engine and to a vLLM server alike; only the URL and the key differ.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from ledger.errors import AdapterError, EngineBusy, EngineError
from ledger.talk.prompts import Turn, in_chair

BASE = "base"
"""Name under which the bot asks for the base model without an adapter."""


PATIENCE_SECONDS = 1.5
"""How long a sign of life may take: Discord gives a command three seconds to answer."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the engine is; ``base_model`` is what an external server calls its base model."""

    url: str
    key: str
    base_model: str = BASE


@dataclass(frozen=True, slots=True)
class AnswerSampling:
    """How to draw an answer. The defaults change nothing, and what changes nothing is not sent."""

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int = 0
    """How many of the likeliest tokens to draw from; 0: all."""
    min_p: float = 0.0
    """Least probability of a token, as a share of the likeliest one's."""
    repetition_penalty: float = 1.0
    """Divides the scores of tokens that are in the prompt or the answer already (vLLM's, not OpenAI's)."""
    frequency_penalty: float = 0.0
    """Taken off a token's score for each time that the answer holds it."""
    presence_penalty: float = 0.0
    """Taken off a token's score once the answer holds it."""
    seed: int | None = None

    def fields(self) -> dict[str, Any]:
        """Return the request's fields: a server that knows only OpenAI's refuses vLLM's."""
        always = {"max_tokens": self.max_tokens, "temperature": self.temperature, "top_p": self.top_p}
        neutral = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
        neutral |= {"frequency_penalty": 0.0, "presence_penalty": 0.0}
        changed = {name: value for name, none in neutral.items() if (value := getattr(self, name)) != none}
        return always | changed | ({} if self.seed is None else {"seed": self.seed})


@dataclass(frozen=True, slots=True)
class AnswerPiece:
    """A few more words of an answer; ``finish``, in the last piece, says why it ended."""

    text: str
    finish: str = ""


AT_LIMIT = "length"
"""Why an answer ended that was not allowed to get longer."""


class EngineClient:
    """Asks for answers and moves adapters in and out.

    Calls ``address`` for every request, because the bot's own engine gets a new port and key at each
    start; it raises EngineError while there is no engine.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        address: Callable[[], Address],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._session = session
        self._patience_seconds = patience_seconds
        self._address = address

    async def stream(
        self,
        model: str,
        turns: Sequence[Turn],
        sampling: AnswerSampling,
        *,
        guild_id: int | None,
        stop: Sequence[str] = (),
    ) -> AsyncGenerator[AnswerPiece]:
        """Yield an answer piece by piece, as it is generated.

        Where the last turn is the assistant's, it is the answer's beginning, which is not yielded again. The
        base is asked in the form that it knows.
        The answer ends before the first of ``stop``, of which nothing is ever yielded. The last piece says
        why it ended: "stop" if the model or a stop sequence ended it, ``AT_LIMIT`` at the limit.

        Raises:
            EngineBusy: the engine's queue is full.
            EngineError: it refuses, cannot be reached, or breaks off.
        """
        turns = in_chair(turns) if model == BASE else turns
        body: dict[str, Any] = {
            "model": self._model(model),
            "messages": list(turns),
            "stream": True,
            **sampling.fields(),
        }
        if turns and turns[-1]["role"] == "assistant":
            # vLLM's way to have a begun answer continued; what comes back is without its beginning.
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        if stop:
            body["stop"] = list(stop)
        async with self._request("POST", "/v1/chat/completions", body, guild_id) as response:
            async for line in response.content:
                if not line.startswith(b"data:"):  # a blank line between events, or a comment to keep alive
                    continue
                data = line[5:].strip()
                if data == b"[DONE]":
                    return
                yield _piece(data)
        # Without [DONE] the connection ended early, and half an answer must not count as a whole one.
        raise EngineError("The engine broke off in the middle of an answer; ask again.")

    async def load(self, version: str, path: str, *, guild_id: int) -> None:
        """Have the engine load an adapter version.

        Raises:
            AdapterError: it refuses the version.
            EngineError: it cannot be reached.
        """
        body = {"lora_name": version, "lora_path": path}
        try:
            async with self._request("POST", "/v1/load_lora_adapter", body, guild_id):
                return
        except EngineRefusal as error:
            # vLLM's words and our engine's: there is no code for it.
            if "already been loaded" in error.detail or "already loaded" in error.detail:
                return
            raise AdapterError(f"The engine does not take {version}: {error.detail}") from error

    async def unload(self, version: str, *, guild_id: int) -> None:
        """Have the engine drop an adapter version, if it holds it."""
        try:
            async with self._request("POST", "/v1/unload_lora_adapter", {"lora_name": version}, guild_id):
                return
        except EngineRefusal as error:
            if error.status not in (400, 404):  # it does not hold the version, which is all we want
                raise

    async def models(self) -> list[str]:
        """Return the names of what is loaded."""
        async with self._request("GET", "/v1/models", None, None) as response:
            return [str(entry["id"]) for entry in (await response.json())["data"]]

    async def healthy(self) -> bool:
        """Tell whether the engine answers promptly."""
        try:
            async with (
                asyncio.timeout(self._patience_seconds),
                self._request("GET", "/health", None, None),
            ):
                return True
        except (EngineError, TimeoutError):
            return False

    def _model(self, model: str) -> str:
        return self._address().base_model if model == BASE else model

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None, guild_id: int | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        address = self._address()
        headers = {"Authorization": f"Bearer {address.key}"} if address.key else {}
        if guild_id is not None:
            # An adapter answers only who names its guild; without the header there is the base alone.
            headers["X-Nightschool-Guild"] = str(guild_id)
        try:
            async with self._session.request(
                method, address.url.rstrip("/") + path, json=body, headers=headers
            ) as response:
                if response.status >= 400:
                    raise _refusal(response.status, await response.text())
                yield response
        # Around the yield as well: the connection may break while the answer is read.
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineError(
                f"The engine at {address.url} cannot be reached ({type(error).__name__}); "
                "see /bot status, or the log."
            ) from error


class EngineRefusal(EngineError):
    """The engine answered with an error; ``status`` and ``detail`` say which."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"The engine refused the request ({status}): {detail}")
        self.status = status
        self.detail = detail


def _refusal(status: int, text: str) -> EngineError:
    detail = text[:300]
    try:
        error = json.loads(text)
        error = error.get("error", error)
        detail = str(error.get("message", detail)) if isinstance(error, dict) else str(error)
    except (ValueError, AttributeError):
        pass  # no JSON, so the text itself is the detail
    if status == 503:
        return EngineBusy(f"The engine is busy: {detail}")
    return EngineRefusal(status, detail)


def _piece(data: bytes) -> AnswerPiece:
    try:
        event = json.loads(data)
    except ValueError as error:
        raise EngineError("The engine sent an answer that cannot be read; see its log.") from error
    if "error" in event:
        raise EngineError(f"The engine gave up on an answer: {event['error'].get('message', 'no reason')}")
    choices = event.get("choices") or []
    if not choices:
        return AnswerPiece("")
    return AnswerPiece(
        str(choices[0]["delta"].get("content") or ""), str(choices[0].get("finish_reason") or "")
    )
