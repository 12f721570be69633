"""Adapter directories: anything altered, foreign or unsafe is refused by name."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.adapter_files import read_manifest, verify, write_manifest
from engine.model.loading import base_fingerprint
from ledger.errors import AdapterError


@pytest.fixture
def adapter(make_adapter: Callable[..., Path], tmp_path: Path) -> Path:
    return make_adapter(tmp_path, "g1-v000001", 1)


def test_an_untouched_adapter_is_accepted(adapter: Path, tiny_base: Path) -> None:
    manifest = verify(adapter, base_fingerprint=base_fingerprint(str(tiny_base)))
    assert manifest.version == "g1-v000001"
    assert {"adapter_model.safetensors", "adapter_config.json"} <= set(manifest.files)


def test_one_changed_byte_is_refused(adapter: Path, tiny_base: Path) -> None:
    weights = adapter / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(AdapterError, match=r"altered: adapter_model\.safetensors"):
        verify(adapter, base_fingerprint=base_fingerprint(str(tiny_base)))


def test_another_base_is_refused_by_name(adapter: Path, tiny_base: Path) -> None:
    with pytest.raises(AdapterError, match=f"made for another base model .*{tiny_base.name}"):
        verify(adapter, base_fingerprint="0" * 64)


def test_a_pickle_beside_the_weights_is_refused(adapter: Path, tiny_base: Path) -> None:
    (adapter / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(AdapterError, match="only safetensors"):
        verify(adapter, base_fingerprint=base_fingerprint(str(tiny_base)))


def test_a_missing_file_is_refused(adapter: Path, tiny_base: Path) -> None:
    (adapter / "adapter_config.json").unlink()
    with pytest.raises(AdapterError, match=r"lacks adapter_config\.json"):
        verify(adapter, base_fingerprint=base_fingerprint(str(tiny_base)))


def test_a_manifest_that_points_outside_is_refused(adapter: Path, tiny_base: Path) -> None:
    manifest = json.loads((adapter / "manifest.json").read_text())
    manifest["files"]["../../../secret"] = "0" * 64
    (adapter / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(AdapterError, match="outside of its directory"):
        verify(adapter, base_fingerprint=base_fingerprint(str(tiny_base)))


def test_a_folder_without_manifest_is_no_adapter(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="no adapter version"):
        read_manifest(tmp_path)


def test_a_broken_manifest_is_one_sentence(adapter: Path) -> None:
    (adapter / "manifest.json").write_text('{"version": "g1-v0')
    with pytest.raises(AdapterError, match="cannot be read"):
        read_manifest(adapter)


def test_a_report_written_later_does_not_spoil_the_adapter(adapter: Path, tiny_base: Path) -> None:
    (adapter / "report.md").write_text("a good night")
    write_manifest(adapter, **read_manifest(adapter).fields)
    (adapter / "report.md").write_text("a very good night")
    verify(adapter, base_fingerprint=base_fingerprint(str(tiny_base)))
