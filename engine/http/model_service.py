"""What the HTTP server serves: names, adapters from disk, and chat requests turned into tokens.

Imported, not run. Its border: it knows models and adapter directories, and no HTTP beyond the
statuses of its refusals.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.computing.cores import use_threads
from engine.computing.lora_bank import Weights, read_weights
from engine.generating.generation import Generator
from engine.generating.requests import Answer, Event, Request, TextPiece
from engine.generating.token_sampling import SamplingParameters
from engine.http.protocol import ChatRequest, RequestRefused
from engine.model.adapter_files import verify
from engine.model.encoding import encode_prompt
from ledger.errors import AdapterError, EngineBusy, EngineError, ModelError
from ledger.learned.version_names import VERSION

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BASE = "base"
"""The base model's second name: short, and the same whatever the settings call the model."""
_UNLOAD_GRACE_SECONDS = 0.25
"""How long an unload waits for an idle adapter to leave; a busy one leaves with its last answer."""
CHARACTERS_A_TOKEN = 16
"""Characters a token of context that a prompt may have; English has about 4, and only blanks have more."""
OWNER_HEADER = "X-Nightschool-Guild"
"""Header that names the owner of an adapter: the server whose number its version begins with."""


@dataclass(frozen=True, slots=True)
class ServedBase:
    """The base model's name, identity, context in tokens and tokenizer."""

    name: str
    fingerprint: str
    context_tokens: int
    tokenizer: PreTrainedTokenizerBase


class ModelService:
    """The base model and its adapters, ready to be asked. Used from one event loop."""

    def __init__(self, generator: Generator, base: ServedBase, *, adapters_dir: Path) -> None:
        self.generator = generator
        self.base = base
        self._adapters_dir = adapters_dir.resolve()
        self._paths: dict[str, Path] = {}
        self._loading = asyncio.Lock()
        # One thread: two must not use a tokenizer at once, and the event loop must not wait for it.
        self._encoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encoder")
        self._encoding = 0

    def models(self) -> list[dict[str, Any]]:
        """Return the models that answer, as vLLM lists them."""
        bases = [self._card(name, self.base.name, None) for name in dict.fromkeys((self.base.name, BASE))]
        adapters = sorted(self.generator.adapters)
        return bases + [self._card(name, str(self._paths[name]), self.base.name) for name in adapters]

    def _card(self, name: str, root: str, parent: str | None) -> dict[str, Any]:
        fixed = {"object": "model", "created": 0, "owned_by": "nightschool"}
        return {
            "id": name,
            **fixed,
            "root": root,
            "parent": parent,
            "max_model_len": self.base.context_tokens,
        }

    def adapter_of(self, model: str, owner: str | None) -> str | None:
        """Return the adapter that ``model`` names, None for the base; ``owner`` is who asks.

        Raises:
            RequestRefused: 403 for another owner's adapter, 404 for an unknown name.
        """
        if model in (BASE, self.base.name):
            return None
        # Before asking whether it is there: nobody learns which versions another server has.
        check_owner(model, owner)
        if model not in self.generator.adapters:
            raise RequestRefused(
                404, f"The model {model!r} is not loaded.", param="model", code="model_not_found"
            )
        return model

    async def answer(self, asked: ChatRequest, adapter: str | None) -> Flow:
        """Queue a chat request; the caller must close the flow.

        Raises:
            RequestRefused: 400 for a prompt that is too long or that the template refuses and for a bias on a
                token that is not there, 404 for an adapter that was unloaded a moment ago, 503 when busy.
        """
        self._check_size(asked)
        prompt = await self._encode(
            [message.turn() for message in asked.messages], begun=asked.continue_final_message
        )
        room = self.base.context_tokens - len(prompt)
        if room < 1:
            raise RequestRefused(
                400,
                f"This model's maximum context length is {self.base.context_tokens} tokens, and your "
                f"messages have {len(prompt)}. Please shorten them.",
                param="messages",
                code="context_length_exceeded",
            )
        flow = Flow()
        request = Request(
            prompt=prompt,
            max_tokens=min(asked.longest or room, room),
            on_event=flow.put,
            adapter=adapter,
            sampling=_sampling(asked),
            stops=tuple(asked.stop),
        )
        flow.follow(self._submit(request))
        return flow

    def _check_size(self, asked: ChatRequest) -> None:
        """Refuse what cannot be answered before anything is computed for it.

        Encoding 20 prompts of a megabyte each kept a small one waiting for a minute.
        """
        characters = sum(len(message.content) for message in asked.messages)
        if characters > self.base.context_tokens * CHARACTERS_A_TOKEN:
            raise RequestRefused(
                400,
                f"This model's maximum context length is {self.base.context_tokens} tokens, and your "
                f"messages have {characters} characters, far more than fit. Please shorten them.",
                param="messages",
                code="context_length_exceeded",
            )
        if any(not 0 <= token < len(self.base.tokenizer) for token in asked.logit_bias):
            raise RequestRefused(
                400,
                f"logit_bias names a token beyond the vocabulary of {len(self.base.tokenizer)}.",
                param="logit_bias",
            )
        # The queue is counted when a request is queued, which is after its prompt was encoded; without this,
        # any number of prompts could wait for the encoder.
        if self._encoding >= self.generator.capacity:
            raise RequestRefused(
                503, "Too many prompts are being read; try again in a moment.", code="engine_busy"
            )

    def _submit(self, request: Request) -> Answer:
        try:
            return self.generator.submit(request)
        except EngineBusy as error:
            raise RequestRefused(503, str(error), code="engine_busy") from error
        except AdapterError as error:
            raise RequestRefused(404, str(error), param="model", code="model_not_found") from error
        except EngineError as error:
            raise RequestRefused(503, str(error)) from error

    async def _encode(self, turns: list[dict[str, str]], *, begun: bool) -> list[int]:
        loop = asyncio.get_running_loop()
        self._encoding += 1
        try:
            return await loop.run_in_executor(
                self._encoder, partial(encode_prompt, self.base.tokenizer, turns, begun=begun)
            )
        except ModelError as error:
            raise RequestRefused(400, str(error), param="messages") from error
        finally:
            self._encoding -= 1

    async def load(self, name: str, path: str, owner: str | None) -> None:
        """Check an adapter version, read it, and let it take requests.

        Raises:
            RequestRefused: 400 for one that is loaded already, altered, or made for another base; 403 for
                another owner's; 404 for one that is not there.
        """
        check_owner(name, owner)
        # One at a time: two loads of the same version would both find it missing, and read it twice.
        async with self._loading:
            if name in self.generator.adapters:
                raise RequestRefused(
                    400, f"The lora adapter '{name}' has already been loaded.", param="lora_name"
                )
            if self.generator.revive(name):
                return  # it had not left memory yet, and a version never changes
            folder = self._inside(path)
            try:
                weights = await asyncio.to_thread(_checked_weights, folder, name, self.base.fingerprint)
                await asyncio.wrap_future(self.generator.install(name, weights))
            except (AdapterError, EngineError) as error:
                raise RequestRefused(400, str(error), param="lora_path") from error
            self._paths[name] = folder

    async def unload(self, name: str, owner: str | None) -> bool:
        """Take no more requests for an adapter; return whether it has left memory already.

        Raises:
            RequestRefused: 403 for another owner's, 404 for one that is not loaded.
        """
        check_owner(name, owner)
        try:
            gone = self.generator.retire(name)
        except AdapterError as error:
            raise RequestRefused(404, str(error), param="lora_name") from error
        done, _ = await asyncio.wait([asyncio.wrap_future(gone)], timeout=_UNLOAD_GRACE_SECONDS)
        return bool(done)

    def _inside(self, path: str) -> Path:
        """Return the folder of an adapter that ``path`` names, with links resolved."""
        try:
            folder = (self._adapters_dir / path).resolve()
            there = folder.is_dir()
        except (OSError, ValueError, RuntimeError) as error:  # too long, with a NUL, or a circle of links
            raise RequestRefused(400, "lora_path is no path that can be.", param="lora_path") from error
        if not folder.is_relative_to(self._adapters_dir) or folder == self._adapters_dir:
            raise RequestRefused(400, "lora_path lies outside of the adapters' folder.", param="lora_path")
        if not there:
            raise RequestRefused(404, f"There is no adapter at {path}.", param="lora_path")
        return folder

    def close(self) -> None:
        """Free the encoder's thread."""
        self._encoder.shutdown(wait=False, cancel_futures=True)


class Flow:
    """One answer's events: an asynchronous iterator that the generator's thread fills."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._answer: Answer | None = None

    def put(self, event: Event) -> None:
        """Take an event from the generator's thread."""
        # At shutdown the loop may close before the thread notices; by then nobody listens.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    def follow(self, answer: Answer) -> None:
        """Note the answer whose events these are."""
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            event = await self._events.get()
            yield event
            if not isinstance(event, TextPiece):
                return

    def close(self) -> None:
        """Have the generator drop the answer unless it is over."""
        if self._answer is not None:
            self._answer.cancel()


def check_owner(model: str, owner: str | None) -> None:
    """Refuse an adapter to everybody but its owner; ``owner`` is None where nobody said who asks.

    Raises:
        RequestRefused: 403.
    """
    match = VERSION.fullmatch(model)
    if match is None or match["guild"] == owner:
        return
    if owner is None:
        raise RequestRefused(
            403,
            f"The adapter {model} belongs to one server: name it in the header {OWNER_HEADER}.",
            param="model",
        )
    raise RequestRefused(403, f"The adapter {model} belongs to another server.", param="model")


def _checked_weights(folder: Path, name: str, fingerprint: str) -> Weights:
    use_threads(1)  # a worker must leave no helpers behind: see engine.building
    try:
        manifest = verify(folder, base_fingerprint=fingerprint)
        if manifest.version != name:
            raise AdapterError(f"{folder.name} holds the version {manifest.version}, not {name}.")
        return read_weights(folder)
    except OSError as error:
        raise AdapterError(f"{name} cannot be read ({error.strerror}): check its folder.") from error


def _sampling(asked: ChatRequest) -> SamplingParameters:
    return SamplingParameters(
        temperature=asked.temperature,
        top_p=asked.top_p,
        seed=asked.seed,
        top_k=max(asked.top_k, 0),
        min_p=asked.min_p,
        repetition_penalty=asked.repetition_penalty,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
        min_tokens=asked.min_tokens,
        logit_bias=tuple(asked.logit_bias.items()),
    )
