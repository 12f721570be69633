"""The processes that share one fit: how many there are, what they agree on, and which of them writes.

A launcher such as ``torchrun`` starts the same command several times and says who is who in the
environment. Knows numbers and flags; no model and no file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Processes:
    """``count`` processes, of which this is number ``index``; ``local`` is its number on its machine."""

    count: int = 1
    index: int = 0
    local: int = 0

    @classmethod
    def from_environment(cls) -> Processes:
        """Return what a launcher said; without one, the only process."""
        count, index, local = (
            int(os.environ.get(name, default))
            for name, default in (("WORLD_SIZE", "1"), ("RANK", "0"), ("LOCAL_RANK", "0"))
        )
        # Job schedulers leave ranks about for programs that are none of theirs.
        return cls(count, index, local) if count > 1 else cls()

    @property
    def is_main(self) -> bool:
        """Tell whether this process writes files and reports; exactly one does."""
        return self.index == 0

    def share_of(self, accumulation_steps: int) -> int:
        """Return how many of an update's batches this process takes, so that the update stays as large.

        Raises:
            ConfigurationError: they cannot be shared out evenly.
        """
        if accumulation_steps % self.count:
            raise ConfigurationError(
                f"training.accumulation_steps is {accumulation_steps}, which {self.count} processes cannot "
                f"share evenly: set it to a multiple of {self.count}, or start another number of processes.",
                {"training.accumulation_steps": f"is {accumulation_steps}; write a multiple of {self.count}"},
            )
        return accumulation_steps // self.count

    def take_device(self, device: str) -> None:
        """Let ``cuda`` mean this process's own GPU: all would load their base onto the first one."""
        if device == "cuda" and self.count > 1:
            import torch

            torch.cuda.set_device(self.local)

    def sums(self, values: Sequence[float]) -> list[float]:
        """Return each value added up over all processes, which must all ask at the same point.

        Every process adds the same numbers in the same order, so that all decide alike on the result.
        """
        if self.count == 1:
            return list(values)
        # Here, because the command line asks who writes and must not wait 1.7 seconds for torch.
        import torch
        from torch import distributed

        device = torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")
        mine = torch.tensor(values, dtype=torch.float64, device=device)
        everyones = [torch.zeros_like(mine) for _ in range(self.count)]
        distributed.all_gather(everyones, mine)
        return torch.stack(everyones).sum(dim=0).tolist()

    def any(self, flag: bool) -> bool:
        """Tell whether the flag is set in any process."""
        return self.sums([float(flag)])[0] > 0

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.sums([0.0])

    def close(self) -> None:
        """Leave the others; whoever still waits for this process gets an error instead of a hang."""
        if self.count > 1:
            from torch import distributed

            if distributed.is_initialized():
                distributed.destroy_process_group()


__all__ = ["Processes"]
