"""Adapter versions on disk: what their manifest says, and whether they may be served.

Imported, not run. Its border: files and hashes; it loads no weights. It accepts only safetensors, because
opening the pickle in a ``.bin`` can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger.errors import AdapterError

MANIFEST = "manifest.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_FORBIDDEN = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
# The report and its plots are for people: writing them again does not make another adapter.
_UNHASHED = {".md", ".png", ".svg"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of ``manifest.json``: ``fields`` is all of it, ``files`` maps names to SHA-256."""

    version: str
    base_fingerprint: str
    files: dict[str, str]
    fields: dict[str, Any]


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of the adapter directory ``path``.

    Raises:
        AdapterError: there is no manifest, or it cannot be read.
    """
    file = Path(path) / MANIFEST
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
        files = {str(name): str(digest) for name, digest in dict(fields["files"]).items()}
        return Manifest(str(fields["version"]), str(fields["base_fingerprint"]), files, fields)
    except FileNotFoundError as error:
        raise AdapterError(f"{path} is no adapter version: it has no {MANIFEST}.") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise AdapterError(
            f"{file} cannot be read ({type(error).__name__}): make the adapter again."
        ) from error


def write_manifest(path: Path, **fields: Any) -> Manifest:
    """Write ``manifest.json`` into the adapter directory ``path``, with the hash of each file in it.

    ``fields`` must hold ``version`` and ``base_fingerprint``, and may hold anything else that JSON can.
    ``files`` among them are ignored: the hashes are always those of the files there are now.

    Raises:
        AdapterError: one of the two fields or the weights are missing.
    """
    missing = [name for name in ("version", "base_fingerprint") if not fields.get(name)]
    if missing:
        raise AdapterError(f"The manifest of {path} lacks {' and '.join(missing)}: pass it.")
    path = Path(path)
    hashed = sorted(file for file in path.rglob("*") if file.is_file() and _is_hashed(file))
    files = {file.relative_to(path).as_posix(): _sha256(file) for file in hashed}
    if WEIGHTS not in files or CONFIG not in files:
        raise AdapterError(f"{path} holds no {WEIGHTS} with its {CONFIG}: nothing to describe.")
    _write_whole(path / MANIFEST, json.dumps({**fields, "files": files}, indent=2, ensure_ascii=False) + "\n")
    return read_manifest(path)


def _is_hashed(file: Path) -> bool:
    return file.name != MANIFEST and file.suffix not in _UNHASHED


def verify(path: Path, *, base_fingerprint: str) -> Manifest:
    """Check that the adapter directory ``path`` is complete and was made for this base model.

    Raises:
        AdapterError: a file is missing, altered or of a forbidden kind, or it is for another base.
    """
    path = Path(path)
    manifest = read_manifest(path)
    if manifest.base_fingerprint != base_fingerprint:
        named = manifest.fields.get("base_model") or manifest.base_fingerprint[:12]
        raise AdapterError(
            f"{manifest.version} was made for another base model ({named}): "
            "set [model] base back to it, or train anew."
        )
    # Kinds before hashes: a forbidden file need not be in the manifest to be dangerous.
    _check_kinds(path, manifest)
    _check_hashes(path, manifest.version, manifest.files)
    return manifest


def _check_kinds(path: Path, manifest: Manifest) -> None:
    for name in (WEIGHTS, CONFIG):
        if name not in manifest.files:
            raise AdapterError(f"{manifest.version} has no hash for {name}: make the adapter again.")
    for file in path.rglob("*"):
        if file.suffix in _FORBIDDEN:
            raise AdapterError(f"{manifest.version} holds {file.name}: only safetensors are ever loaded.")


def _check_hashes(path: Path, version: str, files: Mapping[str, str]) -> None:
    root = path.resolve()
    for name, expected in files.items():
        try:
            file = (path / name).resolve()
        except (OSError, ValueError) as error:  # too long, or with a NUL
            raise AdapterError(f"{version} names a file that cannot be ({name[:80]!r}).") from error
        # A manifest is data from outside: "../../.env" must not be hashed, let alone compared aloud.
        if not file.is_relative_to(root):
            raise AdapterError(f"{version} names a file outside of its directory ({name}).")
        if not file.is_file():
            raise AdapterError(f"{version} lacks {name}: restore it, or roll back.")
        try:
            found = _sha256(file)
        except OSError as error:
            raise AdapterError(f"{version}: {name} cannot be read ({error.strerror}).") from error
        if found != expected:
            raise AdapterError(f"{version} was altered: {name} has another hash than its manifest says.")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_whole(file: Path, text: str) -> None:
    """Write by renaming: a reader sees the old manifest or the new one, never half of one."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".manifest-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(name, 0o644)  # mkstemp makes files that only their owner can read
    os.replace(name, file)
