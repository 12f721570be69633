"""Many LoRA adapters on one base model, each row of a batch with its own.

Imported, not run. Its border: weights and one forward pass; it knows no versions, hashes or requests.
It reads what PEFT writes and computes what PEFT computes, ``W x + scale · B (A x)`` (Hu et al. 2021), each
adapter on its own rows. Rows of an adapter stand together, so that they are a slice and nothing is gathered
or masked. The base model's numbers never change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, FiniteFloat, ValidationError
from torch import nn

from engine.model.adapter_files import CONFIG, WEIGHTS
from ledger.errors import AdapterError

_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
# What PEFT can write and the engine does not compute, with the value at which it changes nothing.
_PLAIN = {"use_dora": False, "bias": "none", "modules_to_save": None, "lora_bias": False, "use_qalora": False}


@dataclass(frozen=True, slots=True)
class Pair:
    """One module's update: ``down`` is A with shape [rank, in], ``up`` is scale · B, [out, rank]."""

    down: torch.Tensor
    up: torch.Tensor


Weights = dict[str, Pair]
"""An adapter's update: module name to pair."""


class _Config(BaseModel):
    """The part of ``adapter_config.json`` that decides what the adapter computes."""

    peft_type: str
    lora_alpha: FiniteFloat
    alpha_pattern: dict[str, FiniteFloat] | None = None
    use_rslora: bool = False
    use_dora: Any = False
    bias: Any = "none"
    modules_to_save: Any = None
    lora_bias: Any = False
    use_qalora: Any = False

    def check_plain(self, name: str) -> None:
        """Refuse every form that the engine cannot compute."""
        if self.peft_type != "LORA":
            raise AdapterError(f"{name} is of PEFT's kind {self.peft_type[:40]}: only LoRA can be served.")
        for option, plain in _PLAIN.items():
            if (value := getattr(self, option)) not in (plain, None, False):
                raise AdapterError(
                    f"{name} was made with {option}={str(value)[:80]!r}: the engine has no such form."
                )

    def alpha(self, name: str, module: str) -> float:
        """Return the scale of one module's update, before it is divided by the rank."""
        if not self.alpha_pattern:
            return self.lora_alpha
        from peft.utils.other import get_pattern_key

        try:
            key = get_pattern_key(list(self.alpha_pattern), module)
            return self.alpha_pattern.get(key, self.lora_alpha)
        except re.error as error:
            raise AdapterError(f"{name} has an alpha_pattern that is no pattern: make it again.") from error


def read_weights(path: Path) -> Weights:
    """Read the adapter in ``path`` into CPU memory, in float32 with the scale folded in.

    Raises:
        AdapterError: it cannot be read, or is no plain LoRA on linear layers.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    name = path.name
    try:
        config = _Config.model_validate_json((path / CONFIG).read_bytes())
        tensors = load_file(path / WEIGHTS)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        field_ = ".".join(str(part) for part in fault["loc"]) or "the whole"
        raise AdapterError(f"{name} has a {CONFIG} that cannot be used ({field_}): make it again.") from error
    except (OSError, ValueError, SafetensorError) as error:
        raise AdapterError(f"{name} cannot be read ({type(error).__name__}): make it again.") from error
    config.check_plain(name)
    sides: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key)
        if match is None or tensor.dim() != 2:
            raise AdapterError(f"{name} holds {key}: only LoRA on linear layers can be served.")
        sides.setdefault(match["module"], {})[match["side"]] = tensor.float()
    return {module: _pair(name, module, pair, config) for module, pair in sides.items()}


def _pair(name: str, module: str, sides: Mapping[str, torch.Tensor], config: _Config) -> Pair:
    if set(sides) != {"A", "B"} or sides["A"].shape[0] != sides["B"].shape[1]:
        raise AdapterError(f"{name} has no fitting pair of matrices for {module}: make it again.")
    rank = sides["A"].shape[0]
    if rank == 0:
        raise AdapterError(f"{name} has matrices of rank 0 for {module}: make it again.")
    alpha = config.alpha(name, module)
    scale = alpha / rank**0.5 if config.use_rslora else alpha / rank
    return Pair(sides["A"], sides["B"] * scale)


@dataclass(frozen=True, slots=True)
class _Update:
    """One adapter's matrices for a slot: ``down``, [ranks, in], and ``up``, [ranks, out]."""

    down: torch.Tensor
    up: torch.Tensor


class Slot:
    """What the rows' adapters add to one linear layer, or to several that share their input."""

    def __init__(self, layers: Sequence[str], sizes: Sequence[int]) -> None:
        """``sizes`` are how wide the layers' outputs are, which lie side by side."""
        self._layers, self._sizes = tuple(layers), tuple(sizes)
        self._updates: dict[str, _Update] = {}
        self._runs: list[tuple[int, int, _Update]] = []
        self._rows = 0

    def install(self, name: str, pairs: Mapping[str, Pair]) -> None:
        """Take an adapter's pairs for some of these layers, by the layers' names."""
        downs = [pair.down for pair in pairs.values()]
        ups = [self._widened(layer, pair.up) for layer, pair in pairs.items()]
        self._updates[name] = _Update(_joined(downs), _joined([up.t().contiguous() for up in ups]))

    def remove(self, name: str) -> None:
        """Drop an adapter, if it is there."""
        self._updates.pop(name, None)

    def select(self, runs: Sequence[tuple[int, int, str]], rows: int) -> None:
        """Say which of the rows use which adapter: the first row, the one behind the last, and the name."""
        self._runs = [(a, b, self._updates[name]) for a, b, name in runs if name in self._updates]
        self._rows = rows

    def add(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return ``output``, [rows, columns, out], with the update for ``x``, [rows, columns, in].

        Some models flatten rows and columns for some of their layers, which changes nothing here. Where an
        adapter adds something, the result is in the wider format of the two. ``output`` may be changed.
        """
        if not self._runs:
            return output
        dtype, shape = self._runs[0][2].down.dtype, output.shape
        wide = torch.promote_types(output.dtype, dtype)
        x = x.to(dtype).reshape(self._rows, -1, x.shape[-1])
        output = output.to(wide).view(self._rows, -1, shape[-1])
        for first, end, update in self._runs:
            # Each adapter on its own rows alone: what overflows in one reaches no other.
            rows = output[first:end].view(-1, shape[-1])
            low = nn.functional.linear(x[first:end], update.down).view(-1, update.down.shape[0])
            if wide == dtype:
                # In place it takes a third to two thirds of the time: 6 µs, not 17, for 16 rows of 576.
                rows.addmm_(low, update.up)
            else:
                rows.add_(torch.mm(low, update.up))
        return output.view(shape)

    def _widened(self, layer: str, up: torch.Tensor) -> torch.Tensor:
        """Return [all outputs, rank]: a layer's matrix at its outputs, zeros at the others'."""
        at = self._layers.index(layer)
        return nn.functional.pad(up, (0, 0, sum(self._sizes[:at]), sum(self._sizes[at + 1 :])))


class LoraBank:
    """The adapters on one base model. Not thread-safe: one thread installs, selects and computes."""

    def __init__(self, model: nn.Module, groups: Iterable[Sequence[str]] | None = None) -> None:
        """``groups`` are layers that are computed together; None gives each a hook of its own."""
        self._shapes = {name: shape for name, module in model.named_modules() if (shape := _shape(module))}
        # Modules are kept only where hooks are: elsewhere their weights may be freed.
        self._modules = dict(model.named_modules()) if groups is None else {}
        self._slots: dict[tuple[str, ...], Slot] = {}
        self._slot_of: dict[str, Slot] = {}
        for group in groups or ():
            self._new_slot(tuple(group))
        self._names: set[str] = set()
        self._rows: tuple[str | None, ...] = ()
        parameter = next(parameter for parameter in model.parameters() if parameter.is_floating_point())
        self._device = parameter.device
        # On a CPU a thin product takes 2 µs in float32 and 14 µs in bf16 (one row, rank 16), and PEFT
        # computes adapters in float32, too.
        on_cpu = parameter.device.type == "cpu"
        self._dtype = torch.float32 if on_cpu else getattr(model, "dtype", parameter.dtype)

    def slot(self, layers: Sequence[str]) -> Slot:
        """Return what a group of layers adds; the group was named when the bank was made."""
        return self._slots[tuple(layers)]

    def _new_slot(self, layers: tuple[str, ...]) -> Slot:
        slot = Slot(layers, [self._shapes[layer][1] for layer in layers])
        self._slots[layers] = slot
        self._slot_of |= dict.fromkeys(layers, slot)
        return slot

    @property
    def names(self) -> frozenset[str]:
        """The names of what is installed."""
        return frozenset(self._names)

    def install(self, name: str, weights: Weights) -> None:
        """Put an adapter beside the others.

        Raises:
            AdapterError: the base model has no module of a name or shape that the adapter needs, or the
                adapter holds a value that is not finite.
        """
        # All is checked before anything is installed: an adapter that fits half of the layers fits none.
        for module, pair in weights.items():
            self._check(name, module, pair)
        placed = {module: self._placed(name, module, pair) for module, pair in weights.items()}
        by_slot: dict[Slot, dict[str, Pair]] = {}
        for module, pair in placed.items():
            if module not in self._slot_of:
                # The hook stays for good: with an empty slot it adds nothing.
                self._modules[module].register_forward_hook(_hook(self._new_slot((module,))))
            by_slot.setdefault(self._slot_of[module], {})[module] = pair
        for slot, pairs in by_slot.items():
            slot.install(name, pairs)
        self._names.add(name)
        self._select(self._rows)

    def remove(self, name: str) -> None:
        """Drop an adapter and free its memory; do nothing if it is not there."""
        self._names.discard(name)
        for slot in self._slots.values():
            slot.remove(name)
        self._select(tuple(None if row == name else row for row in self._rows))

    def select(self, rows: Sequence[str | None]) -> None:
        """Say which adapter each row of the next forward pass uses; None is the bare base.

        Rows of one adapter that stand together are computed together.
        """
        if tuple(rows) != self._rows:
            self._select(tuple(rows))

    def _select(self, rows: tuple[str | None, ...]) -> None:
        self._rows = rows
        runs = []
        for name, group in groupby(range(len(rows)), key=rows.__getitem__):
            if name is not None:
                members = list(group)
                runs.append((members[0], members[-1] + 1, name))
        for slot in self._slots.values():
            slot.select(runs, len(rows))

    def _check(self, name: str, module: str, pair: Pair) -> None:
        shape = self._shapes.get(module)
        if shape is None:
            raise AdapterError(f"{name} changes {module}, which the base model does not have.")
        if shape != (pair.down.shape[1], pair.up.shape[0]):
            raise AdapterError(f"{name} does not fit {module}: it was made for another base model.")

    def _placed(self, name: str, module: str, pair: Pair) -> Pair:
        """Return the pair in the format that is computed, and checked in it: float16 overflows at 65,504."""
        sides = [
            side.to(device=self._device, dtype=self._dtype).contiguous() for side in (pair.down, pair.up)
        ]
        if not all(bool(side.isfinite().all()) for side in sides):
            raise AdapterError(f"{name} holds values in {module} that are no finite numbers: train it anew.")
        return Pair(*sides)


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _shape(module: Any) -> tuple[int, int] | None:
    """Return how wide a linear layer's input and output are; None for whatever is none."""
    wide, high = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if wide is None and hasattr(module, "nf"):  # GPT-2's layer keeps its weight as [in, out]
        wide, high = module.weight.shape
    return None if wide is None or high is None else (int(wide), int(high))


def _hook(slot: Slot) -> Any:
    def add_update(_: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        return slot.add(output, args[0]).to(output.dtype)

    return add_update
