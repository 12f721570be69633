"""From settings to a generator on a loaded model: the one file of the engine that reads settings.

Imported, not run. Its border: it wires the parts; each of them takes plain values.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from engine.computing import eight_bit, input_peaks
from engine.computing.cores import use_threads
from engine.computing.forward import forward_of
from engine.computing.lean_llama import LeanLlama
from engine.generating.generation import Generator
from engine.http.model_service import ServedBase
from engine.model.encoding import stop_marks
from engine.model.loading import base_fingerprint, choose_placement, load_base, load_tokenizer
from ledger.errors import ModelError
from ledger.settings import Settings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)


def build(settings: Settings, *, on_death: Callable[[], None]) -> tuple[Generator, ServedBase]:
    """Load the base model; return its generator, not yet started, and what the server says about it.

    Raises:
        ModelError: the model cannot be loaded.
    """
    from transformers.utils import logging as progress

    progress.disable_progress_bar()
    name, revision = settings.base_model(), settings.model.revision
    placement = choose_placement(settings.model.device, settings.model.quantization, settings.model.dtype)
    log.info("loading %s on %s", settings.model.base, placement.reason)
    tokenizer = load_tokenizer(name, revision=revision, chat_template=settings.model.chat_template)
    threads = torch.get_num_threads()
    # OpenMP lets threads spin less once there are more of them than cores, so the thread that loads must not
    # leave helpers behind: with two of its own, two threads wrote the small model's token in 28 ms, not 22.
    use_threads(1)
    try:
        model = load_base(name, revision=revision, placement=placement)
        forward = forward_of(model, peaks_for(model, tokenizer, settings.engine.weights))
    finally:
        use_threads(threads)
    limit = int(getattr(model.config.get_text_config(), "max_position_embeddings", 0) or 0)
    context = min(settings.engine.context_tokens, limit or settings.engine.context_tokens)
    ids, texts = stop_marks(tokenizer)
    generator = Generator(
        forward,
        tokenizer,
        stop_ids=frozenset(ids | _own_stops(model.generation_config)),
        stop_texts=texts,
        max_batch=settings.engine.max_batch,
        max_waiting=settings.engine.max_waiting,
        threads=threads,
        on_death=on_death,
    )
    log.info("loaded %s: context of %d tokens", settings.model.base, context)
    return generator, ServedBase(settings.model.base, base_fingerprint(name, revision), context, tokenizer)


def peaks_for(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, weights: str
) -> Mapping[str, torch.Tensor] | None:
    """Return how large the layers' inputs become if the model is to be served in 8 bits, else None.

    ``weights`` is the setting.

    Raises:
        ModelError: the settings want 8 bits, and there are none for this model or processor.
    """
    fits = LeanLlama.fits(model) and eight_bit.available()
    if weights == "8bit" and not fits:
        raise ModelError('[engine] weights is "8bit", which needs a Llama on an x86 CPU: set it to "auto".')
    # In bf16 a processor that computes it reads half as much as in float32, and 8 bits win for one row alone.
    if weights == "full" or not fits or (weights == "auto" and model.dtype != torch.float32):
        return None
    log.info("rounding its weights to 8 bits")
    ids = tokenizer(input_peaks.TEXT.read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
    return input_peaks.input_peaks(model, ids)


def _own_stops(generation: object) -> set[int]:
    """Return the end tokens that the model's makers name; there may be several."""
    named = getattr(generation, "eos_token_id", None)
    return set(named) if isinstance(named, list) else {named} if isinstance(named, int) else set()
