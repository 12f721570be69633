"""A Llama and its LoRA adapters as GGUF files, which llama.cpp and OpenVINO GenAI read.

    python benchmarks/gguf_files.py models/base/SmolLM2-135M-Instruct FOLDER

Its border: it reads a folder that transformers reads, and writes the files of the benchmark of serving that
are not in FOLDER yet; nothing computes with them here. It needs the package ``gguf``, and knows models of the
kind ``llama`` with a tokenizer of byte pairs (SmolLM2, not TinyLlama).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

Matrix = np.ndarray[Any, np.dtype[np.float32]]
Matrices = dict[str, tuple[Matrix, Matrix]]
"""An adapter: module name, as transformers has it, to A, [rank, in], and scale · B, [out, rank]."""
FORMS = ("BF16", "Q8_0")
ADAPTERS, RANK = 4, 16
_NORMAL, _CONTROL = 1, 3  # kinds of tokens in GGUF


def main() -> None:
    """Write the model in both forms and the random adapters, unless they are there."""
    base, folder = map(Path, sys.argv[1:])
    for form in FORMS:
        if not model_file(folder, form).is_file():
            write_model(base, model_file(folder, form), form)
    for number in range(ADAPTERS):
        if not adapter_file(folder, number).is_file():
            write_adapter(base, adapter_file(folder, number), random_matrices(base, RANK, number))


def model_file(folder: Path, form: str) -> Path:
    """Return where the model in ``form`` is."""
    return folder / f"model-{form}.gguf"


def adapter_file(folder: Path, number: int) -> Path:
    """Return where adapter ``number``, from 0 on, is."""
    return folder / f"adapter-{number}.gguf"


def random_matrices(base: Path, rank: int, seed: int) -> Matrices:
    """Return a random adapter on all linear layers of ``base`` but the last, as the trainer makes it."""
    config = _json(base / "config.json")
    width, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    shapes = {
        "self_attn.q_proj": (queries, width),
        "self_attn.k_proj": (keys, width),
        "self_attn.v_proj": (keys, width),
        "self_attn.o_proj": (width, queries),
        "mlp.gate_proj": (inner, width),
        "mlp.up_proj": (inner, width),
        "mlp.down_proj": (width, inner),
    }
    draw = np.random.default_rng(seed)

    def small(*shape: int) -> Matrix:
        return draw.standard_normal(shape, dtype=np.float32) * np.float32(0.01)

    return {
        f"model.layers.{layer}.{name}": (small(rank, wide), small(high, rank))
        for layer in range(config["num_hidden_layers"])
        for name, (high, wide) in shapes.items()
    }


def write_model(base: Path, target: Path, form: str) -> None:
    """Write the model in ``base`` to ``target``, its matrices in ``form``, one of ``FORMS``.

    Raises:
        ValueError: the model is not of the kind that this module knows, or the form is another.
    """
    import gguf

    config = _json(base / "config.json")
    if config["model_type"] != "llama" or form not in FORMS:
        raise ValueError(f"{base.name} in {form}: only Llama models in {' or '.join(FORMS)} are written.")
    kind = gguf.GGMLQuantizationType[form]
    beside = target.with_suffix(".unfinished")
    writer = gguf.GGUFWriter(beside, "llama")
    writer.add_name(base.name)
    writer.add_file_type(gguf.LlamaFileType["MOSTLY_" + form])
    _add_sizes(writer, config)
    _add_tokenizer(writer, base, config)
    for name, values in _tensors(base):
        values = _permuted(values, name, config)
        if values.ndim == 1:  # norms, which every reader expects in float32
            writer.add_tensor(_gguf_name(name, config), values)
        else:
            writer.add_tensor(_gguf_name(name, config), gguf.quants.quantize(values, kind), raw_dtype=kind)
    _write(writer)
    beside.replace(target)


def write_adapter(base: Path, target: Path, matrices: Matrices) -> None:
    """Write an adapter for the model in ``base``, in float32, so that llama.cpp scales it by 1."""
    import gguf

    config = _json(base / "config.json")
    beside = target.with_suffix(".unfinished")
    writer = gguf.GGUFWriter(beside, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    # llama.cpp multiplies by alpha over rank, and the scale is in B already.
    rank = next(iter(matrices.values()))[0].shape[0]
    writer.add_float32("adapter.lora.alpha", float(rank))
    for name, (down, up) in matrices.items():
        tensor = _gguf_name(f"{name}.weight", config)
        writer.add_tensor(f"{tensor}.lora_a", down)
        writer.add_tensor(f"{tensor}.lora_b", _permuted(up, f"{name}.weight", config))
    _write(writer)
    beside.replace(target)


def _add_sizes(writer: Any, config: dict[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: Any, base: Path, config: dict[str, Any]) -> None:
    tokenizer = _json(base / "tokenizer.json")
    added = {each["id"]: each for each in tokenizer["added_tokens"]}
    ids = {number: token for token, number in tokenizer["model"]["vocab"].items()}
    ids |= {number: each["content"] for number, each in added.items()}
    size = config["vocab_size"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([ids.get(number, f"[PAD{number}]") for number in range(size)])
    special = {number for number, each in added.items() if each["special"]}
    writer.add_token_types([_CONTROL if number in special else _NORMAL for number in range(size)])
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in merges])
    if config["bos_token_id"] is not None:
        writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    template = base / "chat_template.jinja"
    if template.is_file():
        writer.add_chat_template(template.read_text(encoding="utf-8"))


def _tensors(base: Path) -> Iterator[tuple[str, Matrix]]:
    """Yield the name and the values, in float32, of each of the model's tensors."""
    from safetensors.torch import load_file

    for file in sorted(base.glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            yield name, tensor.float().numpy()


def _gguf_name(name: str, config: dict[str, Any]) -> str:
    import gguf

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    found = names.get_name(name, try_suffixes=(".weight",))
    if found is None:
        raise ValueError(f"GGUF has no name for {name}.")
    return str(found)


def _permuted(values: Matrix, name: str, config: dict[str, Any]) -> Matrix:
    """Return rows of queries and keys in llama.cpp's order, others as they are.

    transformers turns a head's first half against its second half, llama.cpp neighbours.
    """
    counts = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    heads = counts.get(name.split(".")[-2])
    if heads is None:
        return values
    halves = values.reshape(heads, 2, -1, values.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def _write(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _json(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


if __name__ == "__main__":
    main()
