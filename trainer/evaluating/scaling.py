"""A version at a part of its strength, written into its files, so that any engine serves it like that.

Touches files alone and loads no model. At scale s the adapter adds s times its update to the base, which is
the straight line between the two (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).
"""

from __future__ import annotations

import os
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from engine.model.adapter_files import WEIGHTS, read_manifest, write_manifest
from ledger.errors import AdapterError

SCALES = (0.75, 0.5)
"""What a candidate that failed a guard is tried at, in this order. Less than half would keep little of what
was learned."""


def bake_scale(path: Path, scale: float) -> None:
    """Multiply the update of the adapter in ``path`` by ``scale`` and write its hashes anew.

    The manifest remembers the scale, so a night that was resumed does not weaken its candidate twice. Killed
    in between, the hashes do not match and the version is refused; the night then fits it again.

    Raises:
        AdapterError: there is no adapter, it has no LoRA weights, or it was baked at another scale before.
    """
    manifest = read_manifest(path)
    baked = float(manifest.fields.get("scale", 1.0))
    if baked == scale:
        return
    if baked != 1.0:
        raise AdapterError(f"{manifest.version} was weakened to {baked:g} before: fit it again.")
    file = path / WEIGHTS
    with safe_open(str(file), framework="pt") as weights:
        tensors = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118 - no mapping
        metadata = weights.metadata()
    # The update is B times A: one of the two carries the scale.
    scaled = [name for name in tensors if ".lora_B." in name or ".lora_embedding_B" in name]
    if not scaled:
        raise AdapterError(f"{manifest.version} has no LoRA weights to weaken: fit it again.")
    for name in scaled:
        tensors[name] = tensors[name] * scale
    unfinished = file.with_name(f"{WEIGHTS}.unfinished")
    save_file(tensors, str(unfinished), metadata=metadata)
    os.replace(unfinished, file)
    write_manifest(path, **{**manifest.fields, "scale": scale})


__all__ = ["SCALES", "bake_scale"]
