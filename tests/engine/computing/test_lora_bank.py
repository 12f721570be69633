"""LoRA side by side: the same numbers as PEFT, whoever shares the batch; anything else is refused."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import OPTConfig, OPTForCausalLM

from engine.computing.lora_bank import LoraBank, Pair, read_weights
from engine.model.loading import choose_placement, load_base
from ledger.errors import AdapterError

IDS = torch.tensor([[7, 90, 13, 55, 8], [9, 21, 300, 4, 17], [40, 41, 42, 43, 44]])


def fresh_base(tiny_base: Path) -> Any:
    return load_base(str(tiny_base), placement=choose_placement("cpu", "none", "float32"))


@pytest.mark.parametrize(
    "options",
    [{}, {"use_rslora": True}, {"alpha_pattern": {"q_proj": 32}, "rank_pattern": {"v_proj": 2}}],
    ids=["plain", "rank-stabilised", "patterns"],
)
def test_each_row_of_a_mixed_batch_gets_what_peft_computes_for_it_alone(
    make_adapter: Callable[..., Path], tiny_base: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    first = make_adapter(tmp_path, "g1-v000001", 1, **options)
    second = make_adapter(tmp_path, "g2-v000001", 2, r=8, target_modules=["q_proj", "down_proj"])
    model = fresh_base(tiny_base)
    bank = LoraBank(model)
    bank.install("first", read_weights(first))
    bank.install("second", read_weights(second))
    bank.select(["second", None, "first"])
    with torch.inference_mode():
        mixed = model(IDS).logits
        for row, path in ((0, second), (1, None), (2, first)):
            alone = fresh_base(tiny_base)
            alone = alone if path is None else PeftModel.from_pretrained(alone, path).eval()
            expected = alone(input_ids=IDS[row : row + 1]).logits[0]
            torch.testing.assert_close(mixed[row], expected, atol=2e-4, rtol=1e-4)


def test_on_a_four_bit_base_it_computes_what_peft_computes(
    make_adapter: Callable[..., Path], tiny_base: Path, tmp_path: Path
) -> None:
    placement = choose_placement("cpu", "4bit", "float32")
    path = make_adapter(tmp_path, "g1-v000001", 1)
    model = load_base(str(tiny_base), placement=placement)
    bank = LoraBank(model)
    bank.install("a", read_weights(path))
    bank.select(["a", None, "a"])
    with torch.inference_mode():
        ours: Any = model(input_ids=IDS).logits
        peft: Any = PeftModel.from_pretrained(load_base(str(tiny_base), placement=placement), path).eval()
        torch.testing.assert_close(ours[2], peft(input_ids=IDS[2:]).logits[0], atol=1e-3, rtol=1e-3)


def test_the_base_is_the_same_after_an_adapter_has_come_and_gone(
    make_adapter: Callable[..., Path], tiny_base: Path, tmp_path: Path
) -> None:
    model = fresh_base(tiny_base)
    bank = LoraBank(model)
    with torch.inference_mode():
        before = model(IDS).logits
        bank.install("a", read_weights(make_adapter(tmp_path, "g1-v000001", 1)))
        bank.select(["a", "a", "a"])
        assert not torch.allclose(model(IDS).logits, before, atol=0.1)
        bank.remove("a")
        bank.select([None, None, None])
        assert torch.equal(model(IDS).logits, before)
    assert bank.names == frozenset()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"peft_type": "IA3"}, "only LoRA can be served"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ],
)
def test_forms_that_the_engine_does_not_compute_are_refused_by_name(
    make_adapter: Callable[..., Path], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = make_adapter(tmp_path, "g1-v000001", 1)
    config = json.loads((path / "adapter_config.json").read_text())
    (path / "adapter_config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(AdapterError, match=message):
        read_weights(path)


def test_an_adapter_of_another_shape_is_refused_and_leaves_nothing_behind(
    make_adapter: Callable[..., Path], tiny_base: Path, tmp_path: Path
) -> None:
    weights = read_weights(make_adapter(tmp_path, "g1-v000001", 1))
    name, pair = next(iter(weights.items()))
    bank = LoraBank(fresh_base(tiny_base))
    with pytest.raises(AdapterError, match="made for another base model"):
        bank.install("a", {name: type(pair)(pair.down[:, :-1], pair.up)})
    with pytest.raises(AdapterError, match="does not have"):
        bank.install("a", {"model.layers.99.q_proj": pair})
    assert bank.names == frozenset()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_adapter_that_holds_no_finite_numbers_is_refused(
    make_adapter: Callable[..., Path], tiny_base: Path, tmp_path: Path, value: float
) -> None:
    weights = read_weights(make_adapter(tmp_path, "g1-v000001", 1))
    name = next(iter(weights))
    for side in (weights[name].down, weights[name].up):
        kept = side[1, 1].clone()
        side[1, 1] = value
        bank = LoraBank(fresh_base(tiny_base))
        with pytest.raises(AdapterError, match="no finite numbers"):
            bank.install("a", weights)
        assert bank.names == frozenset()
        side[1, 1] = kept


def test_what_is_too_much_for_the_computing_format_is_refused_too(
    make_adapter: Callable[..., Path], tiny_base: Path, tmp_path: Path
) -> None:
    weights = read_weights(make_adapter(tmp_path, "g1-v000001", 1))
    next(iter(weights.values())).up[0, 0] = 1e38
    bank = LoraBank(fresh_base(tiny_base))
    bank.install("fits float32", weights)
    bank._dtype = torch.float16
    with pytest.raises(AdapterError, match="no finite numbers"):
        bank.install("a", weights)


@pytest.mark.parametrize("value", [1e38, -1e38, 1e20])
def test_rows_of_a_mixed_batch_are_bit_for_bit_the_same_beside_a_hostile_adapter(
    make_adapter: Callable[..., Path], tiny_base: Path, tmp_path: Path, value: float
) -> None:
    harmless = read_weights(make_adapter(tmp_path, "g1-v000001", 1))
    hostile = {
        m: type(p)(torch.full_like(p.down, value), torch.full_like(p.up, value)) for m, p in harmless.items()
    }
    own = read_weights(make_adapter(tmp_path, "g2-v000001", 2))
    rows = []
    for neighbour in (harmless, hostile):
        model = fresh_base(tiny_base)
        bank = LoraBank(model)
        bank.install("own", own)
        bank.install("neighbour", neighbour)
        bank.select(["own", "neighbour", None])
        with torch.inference_mode():
            rows.append(model(IDS).logits)
    assert not rows[1][1].isfinite().all()  # the hostile row itself is broken
    assert torch.equal(rows[0][0], rows[1][0])
    assert torch.equal(rows[0][2], rows[1][2])


@pytest.mark.parametrize(
    "junk",
    [
        "[]",
        "null",
        "{}",
        '{"peft_type": "LORA"}',
        '{"peft_type": "LORA", "lora_alpha": "much"}',
        '{"peft_type": "LORA", "lora_alpha": NaN}',
        '{"peft_type": "LORA", "lora_alpha": 1e999}',
        '{"peft_type": "LORA", "lora_alpha": ' + "9" * 5000 + "}",
        '{"peft_type": "LORA", "lora_alpha": 8, "alpha_pattern": [1]}',
        '{"peft_type": "LORA", "lora_alpha": 8, "alpha_pattern": {"(": 1}}',
        '{"peft_type": 7, "lora_alpha": 8}',
        "[" * 100_000,
        "\x00",
    ],
)
def test_junk_in_the_configuration_is_refused_and_never_a_traceback(
    make_adapter: Callable[..., Path], tmp_path: Path, junk: str
) -> None:
    path = make_adapter(tmp_path, "g1-v000001", 1)
    (path / "adapter_config.json").write_text(junk)
    with pytest.raises(AdapterError, match="make it again"):
        read_weights(path)


def test_a_rank_of_nought_is_refused(make_adapter: Callable[..., Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = make_adapter(tmp_path, "g1-v000001", 1)
    file = path / "adapter_model.safetensors"
    tensors = load_file(file)
    empty = {k: (t[:0] if "lora_A" in k else t[:, :0]).contiguous() for k, t in tensors.items()}
    save_file(empty, file)
    with pytest.raises(AdapterError, match="rank 0"):
        read_weights(path)


@pytest.mark.parametrize("who", [["a", "a"], ["a", None], [None, "a"]])
def test_layers_that_get_rows_and_columns_as_one_are_computed_row_by_row(who: list[str | None]) -> None:
    torch.manual_seed(1)
    shape: dict[str, Any] = {"vocab_size": 60, "hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 1}
    model = OPTForCausalLM(OPTConfig(**shape, num_attention_heads=2, word_embed_proj_dim=16)).eval()
    name = "model.decoder.layers.0.fc1"
    pair = Pair(torch.randn(4, 16), torch.randn(24, 4))
    merged = copy.deepcopy(model)
    merged.get_submodule(name).weight.data += pair.up @ pair.down
    bank = LoraBank(model)
    bank.install("a", {name: pair})
    bank.select(who)
    ids = torch.tensor([[7, 9, 13, 5], [9, 21, 30, 4]])
    with torch.inference_mode():
        found, base, adapted = model(ids).logits, fresh_logits(model, bank, ids), merged(ids).logits
    for row, adapter in enumerate(who):
        torch.testing.assert_close(found[row], (adapted if adapter else base)[row], atol=1e-4, rtol=1e-4)
    assert (adapted - base).abs().max() > 0.01


def fresh_logits(model: Any, bank: LoraBank, ids: torch.Tensor) -> torch.Tensor:
    bank.select([None] * len(ids))
    logits: torch.Tensor = model(ids).logits
    return logits
