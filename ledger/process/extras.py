"""The extras of pyproject.toml: what the bot beside a vLLM server does without.

Looks whether packages are installed and loads none, so that a command can say in one sentence what it
lacks instead of breaking off in the middle of an import.
"""

from __future__ import annotations

from importlib.util import find_spec

from ledger.errors import ExtraMissing

EXTRAS = {
    "demo": ("simcord",),
    "engine": ("torch", "transformers", "peft", "safetensors", "accelerate"),
    "trainer": ("datasets", "matplotlib", "numpy", "rich"),
    "trackers": ("tensorboard",),
}
"""The modules by which each extra is known to be there: those that its code cannot start without."""


def missing(extra: str) -> list[str]:
    """Return the modules of ``extra`` that are not installed."""
    return [name for name in EXTRAS[extra] if find_spec(name) is None]


def require(*extras: str) -> None:
    """Refuse to go on unless everything in ``extras`` is installed.

    Raises:
        ExtraMissing: something is not; the text names the extras to install.
    """
    lacking = {extra: names for extra in extras if (names := missing(extra))}
    if lacking:
        modules = ", ".join(name for names in lacking.values() for name in names)
        raise ExtraMissing(
            f"This command needs packages that are not installed ({modules}): run "
            f'`pip install -e ".[{",".join(lacking)}]"` in Nightschool\'s folder, or `make setup` for all.'
        )


__all__ = ["EXTRAS", "missing", "require"]
