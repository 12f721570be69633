"""Which checkpoint a cut-off training run resumes.

transformers writes ``trainer_state.json`` last, so a folder with a readable state is whole; one that a kill
left half-written is removed. Optimiser and random states are loaded with ``weights_only``: no pickled object
is ever executed. Looks at files; loads nothing.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

IDENTITY = "fitting.json"
WEIGHTS = "adapter_model.safetensors"
STATE = "trainer_state.json"


def checkpoint_to_resume(work_dir: Path, identity: dict[str, Any]) -> Path | None:
    """Return the checkpoint to resume; None to start afresh.

    ``identity`` says what is fitted: data, base and recipe. Checkpoints of anything else are removed, since
    resuming them would mix two trainings.
    """
    folder, note = work_dir / "checkpoints", work_dir / IDENTITY
    # Sorted, so that equal fits give equal texts.
    text = json.dumps(identity, indent=2, sort_keys=True, default=str) + "\n"
    if not note.is_file() or note.read_text(encoding="utf-8") != text:
        shutil.rmtree(folder, ignore_errors=True)
        note.write_text(text, encoding="utf-8")
    return last_whole(folder)


def last_whole(folder: Path) -> Path | None:
    """Return the newest whole checkpoint in ``folder`` and remove those that are not whole."""
    whole: list[tuple[int, Path]] = []
    for checkpoint in folder.glob("checkpoint-*") if folder.is_dir() else ():
        step = _step(checkpoint)
        if step is None:
            shutil.rmtree(checkpoint)
        else:
            whole.append((step, checkpoint))
    return max(whole)[1] if whole else None


def _step(checkpoint: Path) -> int | None:
    try:
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        step = int(state["global_step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    present = all((checkpoint / name).is_file() for name in (WEIGHTS, "optimizer.pt", "scheduler.pt"))
    return step if present else None


__all__ = ["checkpoint_to_resume", "last_whole"]
