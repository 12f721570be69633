"""The model and its adapters for OpenVINO: an adapter finds its products, and changes what is written."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gguf_files
import openvino_files


class Product:
    """A product with a weight of known size, or one of two inputs."""

    def __init__(self, number: int, weights: bool = True, kind: str = "MatMul") -> None:
        self.name, self._weights, self._kind = f"{kind}_{number}", weights, kind

    def get_type_name(self) -> str:
        return self._kind

    def get_friendly_name(self) -> str:
        return self.name

    def set_friendly_name(self, name: str) -> None:
        self.name = name

    def input(self, number: int) -> Any:
        shape = type("Shape", (tuple,), {"is_static": self._weights})((8, 8))
        return SimpleNamespace(get_partial_shape=lambda: shape)


def test_products_are_named_in_the_order_in_which_they_were_made() -> None:
    products = [Product(number) for number in range(10, 160, 10)]
    others = [Product(5, weights=False), Product(6, kind="Add")]
    openvino_files.name_products(SimpleNamespace(get_ops=lambda: [*reversed(products), *others]), 2)
    assert products[0].name == "__module.model.layers.0.self_attn.q_proj/ov_ext::linear/MatMul"
    assert products[13].name == "__module.model.layers.1.mlp.down_proj/ov_ext::linear/MatMul"
    assert products[14].name == "MatMul_150"
    assert [each.name for each in others] == ["MatMul_5", "Add_6"]


def test_a_model_of_other_products_is_refused() -> None:
    with pytest.raises(ValueError, match="3 products with weights, not 2 layers"):
        openvino_files.name_products(SimpleNamespace(get_ops=lambda: [Product(n) for n in range(3)]), 2)


def test_an_adapter_has_pefts_names_and_the_random_values(tiny_base: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    matrices = gguf_files.random_matrices(tiny_base, 4, seed=1)
    file = openvino_files.adapter_file(tmp_path, 1)
    openvino_files.write_adapter(file, matrices)
    read = load_file(file)
    down, up = matrices["model.layers.1.mlp.up_proj"]
    assert len(read) == 2 * len(matrices)
    assert (read["base_model.model.model.layers.1.mlp.up_proj.lora_A.weight"] == down).all()
    assert (read["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"] == up).all()


@pytest.mark.slow
def test_a_loaded_adapter_changes_what_is_written(tiny_base: Path, tmp_path: Path) -> None:
    """With the product names alone, an adapter that fits no product would be left out silently."""
    genai = pytest.importorskip("openvino_genai")
    pytest.importorskip("openvino_tokenizers")
    ov = pytest.importorskip("openvino")
    gguf_files.write_model(tiny_base, gguf_files.model_file(tmp_path, "Q8_0"), "Q8_0")
    openvino_files.write_model(
        tiny_base, gguf_files.model_file(tmp_path, "Q8_0"), openvino_files.model_folder(tmp_path)
    )
    matrices = gguf_files.random_matrices(tiny_base, 4, seed=1)
    strong = {name: (down * 30, up * 30) for name, (down, up) in matrices.items()}
    openvino_files.write_adapter(openvino_files.adapter_file(tmp_path, 0), strong)
    adapter = genai.Adapter(str(openvino_files.adapter_file(tmp_path, 0)))
    sizes = genai.SchedulerConfig()
    sizes.cache_size = 1
    pipeline = genai.ContinuousBatchingPipeline(
        str(openvino_files.model_folder(tmp_path)), sizes, "CPU", {"adapters": genai.AdapterConfig([adapter])}
    )

    def written(chosen: list[Any]) -> list[int]:
        drawing = genai.GenerationConfig()
        drawing.max_new_tokens, drawing.ignore_eos = 8, True
        drawing.adapters = genai.AdapterConfig(chosen)
        prompt = ov.Tensor(np.arange(20, dtype=np.int64).reshape(1, 20))
        (found,) = pipeline.generate([prompt], [drawing])
        return list(found.m_generation_ids[0])

    assert written([]) == written([])
    assert written([adapter]) != written([])
