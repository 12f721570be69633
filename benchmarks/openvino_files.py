"""The model and its LoRA adapters as OpenVINO GenAI reads both.

    python benchmarks/openvino_files.py models/base/SmolLM2-135M-Instruct FOLDER

From a GGUF file alone, OpenVINO serves no adapter: the products of the model that it makes have numbers for
names, and an adapter finds its products by name. So this writes that model out, with names. Its border: it
reads the 8-bit file of ``gguf_files`` in FOLDER and writes what is not there yet. It needs the packages
``openvino-genai`` and ``openvino-tokenizers``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import gguf_files

PRODUCTS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)
"""A layer's products with weights, in the order in which OpenVINO makes them."""


def main() -> None:
    """Write the model and the adapters, unless they are there."""
    base, folder = map(Path, sys.argv[1:])
    if not model_folder(folder).is_dir():
        write_model(base, gguf_files.model_file(folder, "Q8_0"), model_folder(folder))
    for number in range(gguf_files.ADAPTERS):
        if not adapter_file(folder, number).is_file():
            matrices = gguf_files.random_matrices(base, gguf_files.RANK, number)
            write_adapter(adapter_file(folder, number), matrices)


def model_folder(folder: Path) -> Path:
    """Return where the model with named products is."""
    return folder / "openvino-Q8_0"


def adapter_file(folder: Path, number: int) -> Path:
    """Return where adapter ``number``, from 0 on, is."""
    return folder / f"adapter-{number}.safetensors"


def write_adapter(target: Path, matrices: gguf_files.Matrices) -> None:
    """Write an adapter as PEFT does."""
    from safetensors.numpy import save_file

    tensors = {}
    for name, (down, up) in matrices.items():
        tensors[f"base_model.model.{name}.lora_A.weight"] = down
        tensors[f"base_model.model.{name}.lora_B.weight"] = up
    save_file(tensors, target)


def write_model(base: Path, gguf: Path, target: Path) -> None:
    """Write the model in ``gguf``, made of ``base``, to the folder ``target``, its products named.

    Raises:
        ValueError: the model has another number of products than its configuration says.
    """
    import openvino as ov
    import openvino_genai

    beside = target.with_suffix(".unfinished")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    # OpenVINO writes the model beside the file that it reads.
    linked = beside / gguf.name
    os.link(gguf, linked)
    sizes = openvino_genai.SchedulerConfig()
    sizes.cache_size = 1
    openvino_genai.ContinuousBatchingPipeline(str(linked), sizes, "CPU", {"enable_save_ov_model": True})
    linked.unlink()
    model = ov.Core().read_model(beside / "openvino_model.xml")
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    name_products(model, config["num_hidden_layers"])
    named = beside / "named"
    ov.save_model(model, named / "openvino_model.xml", compress_to_fp16=False)
    _write_tokenizer(base, named)
    for name in ("config.json", "generation_config.json"):
        shutil.copy(base / name, named)
    named.replace(target)
    del model  # it maps the files
    shutil.rmtree(beside)


def name_products(model: Any, layers: int) -> None:
    """Name the products with weights as a model of PyTorch names them; the last, which is the head, stays.

    Raises:
        ValueError: there are not as many as ``layers`` layers and a head have.
    """
    found = [node for node in model.get_ops() if node.get_type_name() == "MatMul" and _has_weights(node)]
    found.sort(key=lambda node: int(node.get_friendly_name().rsplit("_", 1)[1]))  # as they were made
    if len(found) != layers * len(PRODUCTS) + 1:
        raise ValueError(
            f"{len(found)} products with weights, not {layers} layers of {len(PRODUCTS)} and a head."
        )
    for number, node in enumerate(found[:-1]):
        layer, place = divmod(number, len(PRODUCTS))
        node.set_friendly_name(f"__module.model.layers.{layer}.{PRODUCTS[place]}/ov_ext::linear/MatMul")


def _has_weights(product: Any) -> bool:
    """Whether its second factor is a matrix of known size that no input of the model changes."""
    factor = product.input(1)
    return bool(factor.get_partial_shape().is_static) and len(factor.get_partial_shape()) == 2


def _write_tokenizer(base: Path, target: Path) -> None:
    import openvino as ov
    from openvino_tokenizers import convert_tokenizer
    from transformers import AutoTokenizer

    there, back = convert_tokenizer(AutoTokenizer.from_pretrained(base), with_detokenizer=True)
    ov.save_model(there, target / "openvino_tokenizer.xml")
    ov.save_model(back, target / "openvino_detokenizer.xml")


if __name__ == "__main__":
    main()
