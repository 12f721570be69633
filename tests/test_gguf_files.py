"""GGUF files of a model and its adapters: the values that transformers has, in llama.cpp's order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gguf_files

gguf = pytest.importorskip("gguf")


def tensors(file: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}


def values(tensor: Any) -> Any:
    """Return a tensor's numbers, [rows, columns]; the reader gives sizes the other way round."""
    numbers = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    return numbers.reshape([int(size) for size in reversed(tensor.shape)])


def weights(base: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: tensor.float().numpy() for name, tensor in load_file(base / "model.safetensors").items()}


@pytest.mark.parametrize(("form", "error"), [("BF16", 0.004), ("Q8_0", 0.01)])
def test_a_models_matrices_are_there_to_the_forms_precision(
    tiny_base: Path, tmp_path: Path, form: str, error: float
) -> None:
    file = gguf_files.model_file(tmp_path, form)
    gguf_files.write_model(tiny_base, file, form)
    read, meant = tensors(file), weights(tiny_base)
    assert len(read) == len(meant)
    up = meant["model.layers.1.mlp.up_proj.weight"]
    assert read["blk.1.ffn_up.weight"].tensor_type == gguf.GGMLQuantizationType[form]
    assert np.abs(values(read["blk.1.ffn_up.weight"]) - up).max() <= error * np.abs(up).max()
    assert np.array_equal(values(read["output_norm.weight"]), meant["model.norm.weight"])
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_halves_of_a_head_become_neighbours_in_queries_and_keys_alone(
    tiny_base: Path, tmp_path: Path
) -> None:
    file = gguf_files.model_file(tmp_path, "BF16")
    gguf_files.write_model(tiny_base, file, "BF16")
    read, meant = tensors(file), weights(tiny_base)
    # Heads of 16: row 1 of the second head is the first row of its second half.
    for ours, theirs in (("attn_q", "q_proj"), ("attn_k", "k_proj")):
        rows = values(read[f"blk.0.{ours}.weight"])
        order = [16, 24, 17, 25]
        expected = meant[f"model.layers.0.self_attn.{theirs}.weight"][order]
        assert np.abs(rows[16:20] - expected).max() < 0.005
    plain = meant["model.layers.0.self_attn.v_proj.weight"]
    assert np.abs(values(read["blk.0.attn_v.weight"]) - plain).max() < 0.005


def test_an_adapter_is_scaled_by_one_and_ordered_as_its_model(tiny_base: Path, tmp_path: Path) -> None:
    matrices = gguf_files.random_matrices(tiny_base, 4, seed=3)
    file = gguf_files.adapter_file(tmp_path, 0)
    gguf_files.write_adapter(tiny_base, file, matrices)
    reader = gguf.GGUFReader(file)
    read = {tensor.name: values(tensor) for tensor in reader.tensors}
    down, up = matrices["model.layers.0.self_attn.q_proj"]
    assert reader.fields["adapter.lora.alpha"].contents() == 4.0
    assert len(read) == 2 * len(matrices) == 2 * 2 * 7
    assert np.array_equal(read["blk.0.attn_q.weight.lora_a"], down)
    assert np.array_equal(read["blk.0.attn_q.weight.lora_b"][:4], up[[0, 8, 1, 9]])


def test_random_adapters_fit_every_layer_and_differ_by_their_seed(tiny_base: Path) -> None:
    meant = weights(tiny_base)
    first, second = (gguf_files.random_matrices(tiny_base, 4, seed) for seed in (0, 1))
    for name, (down, up) in first.items():
        assert (up @ down).shape == meant[f"{name}.weight"].shape
        assert not np.array_equal(down, second[name][0])


def test_another_kind_of_model_or_form_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in Q4_0: only Llama models in BF16 or Q8_0"):
        gguf_files.write_model(tiny_base, tmp_path / "model.gguf", "Q4_0")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    with pytest.raises(ValueError, match="only Llama models"):
        gguf_files.write_model(tmp_path, tmp_path / "model.gguf", "BF16")
    assert not list(tmp_path.glob("*.gguf"))
