"""Loading: one clear sentence when something is not there, one identity for one model."""

import shutil
from pathlib import Path

import pytest
import torch

from engine.model.loading import base_fingerprint, choose_placement, load_base, load_tokenizer, resolve_base
from ledger.errors import ModelError


def test_a_placement_says_why_it_was_chosen() -> None:
    placement = choose_placement("cpu", "auto", "float32")
    assert (placement.device, placement.dtype, placement.quantization) == ("cpu", torch.float32, "none")
    assert placement.reason.startswith("as set: CPU")
    assert choose_placement("auto", "auto", "auto").reason.startswith("auto-detected: ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_asking_for_a_gpu_that_is_not_there_says_what_to_set() -> None:
    with pytest.raises(ModelError, match='set it to "auto" or "cpu"'):
        choose_placement("cuda")


def test_a_missing_folder_is_one_sentence_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"set \[model\] base to a folder"):
        resolve_base(str(tmp_path / "nothing"))


def test_an_unreachable_hub_names_the_base_and_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="hf download Nobody/NoSuchModel"):
        load_tokenizer("Nobody/NoSuchModel")


def test_a_folder_without_weights_is_named(tiny_base: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_base / "config.json", tmp_path)
    with pytest.raises(ModelError, match="holds no weights"):
        load_base(str(tmp_path), placement=choose_placement("cpu", "none", "float32"))


def test_pickled_weights_are_not_opened(tiny_base: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_base / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ModelError, match="safetensors"):
        load_base(str(tmp_path), placement=choose_placement("cpu", "none", "float32"))


def test_cut_off_weights_are_a_model_error(tiny_base: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_base, tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base(str(tmp_path / "cut"), placement=choose_placement("cpu", "none", "float32"))


def test_a_tokenizer_without_template_takes_the_one_from_the_settings(
    tiny_base: Path, tmp_path: Path
) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_base / name, tmp_path)
    with pytest.raises(ModelError, match="has no chat template"):
        load_tokenizer(str(tmp_path))
    template = "{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}"
    assert load_tokenizer(str(tmp_path), chat_template=template).chat_template == template


def test_the_fingerprint_follows_the_content_and_not_the_folder(tiny_base: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_base, tmp_path / "elsewhere")
    assert base_fingerprint(str(copy)) == base_fingerprint(str(tiny_base))
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert base_fingerprint(str(copy)) != base_fingerprint(str(tiny_base))


def test_the_base_is_loaded_for_evaluation_in_the_asked_format(tiny_base: Path) -> None:
    model = load_base(str(tiny_base), placement=choose_placement("cpu", "none", "bfloat16"))
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_four_bits_load_and_compute_on_a_cpu_on_request(tiny_base: Path) -> None:
    placement = choose_placement("cpu", "4bit", "bfloat16")
    model = load_base(str(tiny_base), placement=placement)
    layer = model.model.layers[0].mlp.up_proj
    assert type(layer).__name__ == "Linear4bit"
    assert layer.weight.quant_type == "nf4"
    assert layer.weight.quant_state.nested
    with torch.inference_mode():
        assert torch.isfinite(model(input_ids=torch.tensor([[5, 6, 7]])).logits).all()


@pytest.mark.gpu
def test_four_bits_are_the_choice_on_a_gpu_and_fit(tiny_base: Path) -> None:
    placement = choose_placement()
    assert (placement.device, placement.quantization) == ("cuda", "4bit")
    model = load_base(str(tiny_base), placement=placement)
    assert type(model.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[5, 6, 7]], device="cuda")).logits
    assert torch.isfinite(logits).all()
