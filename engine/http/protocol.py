"""OpenAI's and vLLM's message forms: what requests may hold, and what answers look like.

Imported, not run. Its border: plain data in and out; nothing here waits, computes or opens files. A
field that the engine does not support is refused by name, unless its value changes nothing; fields for
bookkeeping ("user", "metadata") are ignored.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

_LONG = 2**63 - 1  # what a seed or a count may be at most: vLLM and torch keep them in 64 bits
Body = TypeVar("Body", bound=BaseModel)

MAX_MESSAGES = 512
"""Turns of one prompt: far more than the bot sends, and a template takes time for each."""
_IGNORED = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "request_id"}
)
"""Fields for bookkeeping: they change no answer."""
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "echo": (False,),
    "ignore_eos": (False,),
    "length_penalty": (1,),
    "skip_special_tokens": (True,),
    "include_stop_str_in_output": (False,),
    "stop_token_ids": ([],),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "response_format": ({"type": "text"},),
}
"""Unsupported fields, with the values at which they change nothing."""


class RequestRefused(Exception):
    """A request is answered with an error in OpenAI's form and the HTTP status ``status``."""

    def __init__(
        self, status: int, message: str, *, kind: str = "", param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind or _kind(status)
        self.param = param
        self.code = code

    def body(self) -> dict[str, Any]:
        """Return the error as OpenAI's clients expect it."""
        error = {
            "message": str(self),
            "type": self.kind,
            "param": self.param,
            "code": self.code or self.status,
        }
        return {"error": error}


def _kind(status: int) -> str:
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
    kinds |= {503: "overloaded_error"}
    return kinds.get(status, "invalid_request_error" if status < 500 else "server_error")


class ChatMessage(BaseModel):
    """One turn; ``content`` may be a list of text parts, as OpenAI's newer clients send it."""

    # Unlike the request's own fields: clients send "name" and others along with turns, and turn() drops them.
    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str

    @field_validator("content", mode="before")
    @classmethod
    def _joined(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if not all(isinstance(part, dict) and part.get("type") == "text" for part in value):
            raise ValueError("only parts of type text are understood")
        return "".join(str(part.get("text", "")) for part in value)

    def turn(self) -> dict[str, str]:
        """Return it as chat templates want it."""
        return {"role": "system" if self.role == "developer" else self.role, "content": self.content}


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``: OpenAI's fields, and vLLM's for drawing."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=512)
    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    min_tokens: int = Field(default=0, ge=0)
    temperature: FiniteFloat = Field(default=1.0, ge=0, le=2)
    top_p: FiniteFloat = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=-1, le=_LONG)
    min_p: FiniteFloat = Field(default=0.0, ge=0, le=1)
    frequency_penalty: FiniteFloat = Field(default=0.0, ge=-2, le=2)
    presence_penalty: FiniteFloat = Field(default=0.0, ge=-2, le=2)
    # vLLM's range is open above 0; beyond these, a penalised logit overflows float32.
    repetition_penalty: FiniteFloat = Field(default=1.0, ge=0.01, le=100)
    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100)]] = Field(
        default_factory=dict, max_length=1024
    )
    seed: int | None = Field(default=None, ge=-_LONG - 1, le=_LONG)
    stop: list[Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        default_factory=list, max_length=16
    )
    add_generation_prompt: bool = True
    continue_final_message: bool = False

    @model_validator(mode="before")
    @classmethod
    def _defaults_for_null(cls, value: Any) -> Any:
        """Read null as the default, as OpenAI does with its optional fields."""
        if not isinstance(value, dict):
            return value
        return {k: v for k, v in value.items() if v is not None or k in ("model", "messages") or _strange(k)}

    @field_validator("stop", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _only_what_is_supported(self) -> ChatRequest:
        for name, value in (self.model_extra or {}).items():
            if name not in _IGNORED and not _changes_nothing(name, value):
                raise _about(name, f"{name[:64]} is not supported; leave it out")
        self._check_beginning()
        if self.min_tokens > (self.longest or self.min_tokens):
            raise _about("min_tokens", f"min_tokens is more than the {self.longest} of max_tokens")
        return self

    def _check_beginning(self) -> None:
        """Refuse what vLLM refuses: an answer is either continued or begun anew."""
        if self.continue_final_message and self.add_generation_prompt:
            raise _about(
                "continue_final_message", "continue_final_message needs add_generation_prompt set to false"
            )
        if not self.continue_final_message and not self.add_generation_prompt:
            raise _about(
                "add_generation_prompt",
                "add_generation_prompt is false without continue_final_message; leave it out",
            )
        last = self.messages[-1]
        if self.continue_final_message and (last.role != "assistant" or not last.content.strip()):
            raise _about(
                "continue_final_message", "continue_final_message needs a last message of the assistant"
            )

    @property
    def longest(self) -> int | None:
        """The most tokens that the answer may have; None for as many as fit."""
        return self.max_completion_tokens or self.max_tokens


def _strange(name: str) -> bool:
    return name not in ChatRequest.model_fields and name not in _NEUTRAL and name not in _IGNORED


def _changes_nothing(name: str, value: Any) -> bool:
    # In Python 1 == True, but "n": true is not a number of answers.
    return any(type(value) is type(none) and value == none for none in _NEUTRAL.get(name, ())) or (
        isinstance(value, float) and value in _NEUTRAL.get(name, ())
    )


def _about(field: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{message}", {"message": message, "field": field[:64]})


class LoadRequest(BaseModel):
    """The body of ``POST /v1/load_lora_adapter``."""

    lora_name: str = Field(min_length=1, max_length=128)
    lora_path: str = Field(min_length=1, max_length=4096)


class UnloadRequest(BaseModel):
    """The body of ``POST /v1/unload_lora_adapter``."""

    lora_name: str = Field(min_length=1, max_length=128)


def parse(kind: type[Body], raw: bytes) -> Body:
    """Read a request body.

    Raises:
        RequestRefused: 400, naming the first wrong field, but never quoting it: it may be somebody's
            message.
    """
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        named = fault.get("ctx", {}).get("field") if fault["type"] == "refused" else None
        field = ".".join(str(part)[:64] for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        raise RequestRefused(
            400, f"{field + ': ' if field else ''}{message}.", param=named or field or None
        ) from error


class Completion:
    """The forms of one answer: whole, or as chunks of a stream."""

    def __init__(self, model: str) -> None:
        self._head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,  # as it was asked for, which may be one of the base's two names
            "system_fingerprint": None,
        }

    def whole(self, text: str, reason: str, usage: dict[str, int]) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": usage}

    def chunk(self, delta: dict[str, str], reason: str | None = None, *, usage: bool = False) -> bytes:
        """Return one chunk of a stream; ``usage`` adds the empty field that OpenAI sends before the count."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        extra = {"usage": None} if usage else {}
        return sse({**self._head, "object": "chat.completion.chunk", "choices": [choice], **extra})

    def usage_chunk(self, usage: dict[str, int]) -> bytes:
        """Return the last chunk of a stream for which usage was asked."""
        return sse({**self._head, "object": "chat.completion.chunk", "choices": [], "usage": usage})


def sse(body: dict[str, Any] | str) -> bytes:
    """Return one server-sent event."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return token counts as OpenAI names them."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
