"""One loader of tokenizers and base models for serving, training and evaluation.

Imported, not run. Its border: it turns a name and a placement into a model in memory, and has no say in
what that is used for. Models are loaded here and nowhere else, because two loaders drift apart:
``AutoTokenizer`` and ``PreTrainedTokenizerFast`` already split TinyLlama's ``</s>`` and newline
differently.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch

from ledger.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# What is fetched from the hub: no *.bin, whose pickle can run code, and no second copy in another format.
_FILES = ["*.json", "*.jinja", "*.model", "*.txt", "*.safetensors"]
_SAMPLES, _SAMPLE_BYTES = 64, 4096  # 256 KiB of each weights file


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs and in which number format; ``reason`` says why, for logs and reports."""

    device: str
    dtype: torch.dtype
    quantization: Literal["4bit", "none"]
    reason: str


def choose_placement(device: str = "auto", quantization: str = "auto", dtype: str = "auto") -> Placement:
    """Choose device, quantisation and number format from what is wanted and what this machine has.

    Raises:
        ModelError: this machine lacks the device or the quantisation that is wanted.
    """
    chosen = _choose_device(device)
    bits: Literal["4bit", "none"] = "4bit" if quantization == "4bit" else "none"
    if quantization == "auto" and chosen == "cuda":
        bits = "4bit"
    # Looked for, not imported: transformers imports it where it is needed.
    if bits == "4bit" and importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError('4-bit needs bitsandbytes: pip install it, or set [model] quantization to "none".')
    numbers = getattr(torch, dtype) if dtype != "auto" else _best_dtype(chosen)
    how = "auto-detected" if device == "auto" else "as set"
    form = f"4-bit NF4, computing in {_short(numbers)}" if bits == "4bit" else _short(numbers)
    return Placement(chosen, numbers, bits, f"{how}: {_describe(chosen)}, {form}")


def _choose_device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError('[model] device is "cuda", but PyTorch sees no CUDA GPU: set it to "auto" or "cpu".')
    if device == "mps" and not torch.backends.mps.is_available():
        raise ModelError('[model] device is "mps", but this machine has no Apple GPU: set it to "auto".')
    return device


def _best_dtype(device: str) -> torch.dtype:
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device == "mps":
        return torch.bfloat16 if torch.backends.mps.is_macos_or_newer(14, 0) else torch.float32
    # Without hardware support a CPU emulates bf16, which is slower than float32.
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def _describe(device: str) -> str:
    if device != "cuda":
        return {"mps": "Apple GPU", "cpu": "CPU"}[device] + f" with {torch.get_num_threads()} threads"
    major, minor = torch.cuda.get_device_capability()
    return f"CUDA {torch.cuda.get_device_name()} SM {major}{minor}"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def resolve_base(base: str, *, revision: str = "main") -> Path:
    """Return the folder that holds ``base``: itself, or its copy in the hub's cache.

    The cache comes first, even for a moving revision such as "main": a base that changed between two
    nights would quietly spoil every adapter made for the old one. It downloads only what is not cached.

    Raises:
        ModelError: there is no such folder, and the hub does not give it either.
    """
    folder = Path(base)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"The base model folder {folder} has no config.json: set [model] base to another."
            )
        return folder
    if folder.is_absolute() or base.count("/") != 1 or base.startswith("."):
        raise ModelError(f"There is no base model folder at {base}: {_advice(base)}")
    return _from_hub(base, revision)


def _from_hub(base: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    def fetch(*, local: bool) -> Path:
        return Path(
            snapshot_download(
                # Half of the hub's 10 s to ask what is newest: without a network nothing comes, however long.
                base,
                revision=revision,
                allow_patterns=_FILES,
                local_files_only=local,
                etag_timeout=5,
            )
        )

    try:
        cached = fetch(local=True)
        if weight_files(cached) and (cached / "config.json").is_file():
            return cached
    except LocalEntryNotFoundError:
        pass  # Nothing in the cache yet: the next lines ask the hub.
    except HFValidationError as error:
        raise ModelError(f"{base!r} is neither a folder nor a name on the Hugging Face hub.") from error
    try:
        return fetch(local=False)
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"The base model {base} (revision {revision}) is neither cached nor reachable: {_advice(base)}"
        ) from error


def _advice(base: str) -> str:
    hub = f"run `hf download {base}` where there is a network, or " if base.count("/") == 1 else ""
    return (
        f"{hub}set [model] base to a folder that holds a model; `python -m engine fetch-small` makes "
        "models/base/SmolLM2-135M-Instruct."
    )


def weight_files(folder: Path) -> list[Path]:
    """Return the weight files of a model folder, sorted by name; empty when it has none.

    Pickled weights (``pytorch_model.bin``) do not count: opening them can run code.
    """
    return sorted(folder.glob("*.safetensors"))


def load_tokenizer(base: str, *, revision: str = "main", chat_template: str = "") -> PreTrainedTokenizerBase:
    """Load the tokenizer that serving, training and evaluation share.

    A tokenizer without a padding token pads with its end token, as in most trainers.

    Raises:
        ModelError: there is no tokenizer, or it has no chat template and none is given.
    """
    from transformers import AutoTokenizer

    folder = resolve_base(base, revision=revision)
    try:
        tokenizer = cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(folder))
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"The tokenizer of {base} cannot be loaded ({type(error).__name__}).") from error
    if chat_template:
        tokenizer.chat_template = chat_template
    if not tokenizer.chat_template:
        raise ModelError(f"The base model {base} has no chat template: write one to [model] chat_template.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(base: str, *, revision: str = "main", placement: Placement) -> PreTrainedModel:
    """Load the base model where ``placement`` says, in evaluation mode.

    4-bit is NF4 with double quantisation (QLoRA, Dettmers et al. 2023), computing in the placement's
    number format.

    Raises:
        ModelError: the model is missing, is broken, or does not fit into memory.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    folder = resolve_base(base, revision=revision)
    if not weight_files(folder):
        raise ModelError(
            f"The base model folder {folder} holds no weights as *.safetensors: download or convert them, "
            "or set [model] base."
        )
    options: dict[str, Any] = {
        "dtype": placement.dtype,
        "device_map": {"": placement.device},
        "use_safetensors": True,
    }
    if placement.quantization == "4bit":
        options["quantization_config"] = nf4_config(placement.dtype)
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, **options)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{base} does not fit into the GPU's memory: take a smaller [model] base."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(
            f"The base model {base} cannot be loaded ({type(error).__name__}: {_first_line(error)})."
        ) from error
    return cast("PreTrainedModel", model.eval())


def nf4_config(compute: torch.dtype) -> Any:
    """Return QLoRA's quantisation: NF4, double quantisation, computing in ``compute``."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no details"])[0][:200].rstrip(".")


def base_fingerprint(base: str, revision: str = "main") -> str:
    """Return the identity of a base model's weights and tokenizer, 64 hexadecimal digits.

    The same files have the same identity in any folder. The hash covers the length, the header and 64
    samples of each weights file: a fine-tuned sibling differs in nearly all of them, and a model of 15 GB
    takes milliseconds instead of half a minute.

    Raises:
        ModelError: there is no such model.
    """
    folder = resolve_base(base, revision=revision)
    digest = hashlib.sha256(_stable_config(folder / "config.json"))
    for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt"):
        if (folder / name).is_file():
            digest.update(name.encode() + hashlib.sha256((folder / name).read_bytes()).digest())
    for path in weight_files(folder):
        digest.update(path.name.encode() + _sample(path))
    return digest.hexdigest()


def _stable_config(path: Path) -> bytes:
    config = json.loads(path.read_text(encoding="utf-8"))
    # What writing the same model again changes, with another version of transformers or in another folder.
    for passing in ("_name_or_path", "transformers_version", "dtype", "torch_dtype"):
        config.pop(passing, None)
    return json.dumps(config, sort_keys=True).encode()


def _sample(path: Path) -> bytes:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for part in range(_SAMPLES):
            file.seek(max(0, size - _SAMPLE_BYTES) * part // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.digest()
