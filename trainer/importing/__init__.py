"""Exports into the ledger: DiscordChatExporter JSON, Discord data packages and plain JSON lines.

``await import_paths(ledger, paths, basis="…")``, or ``python -m trainer import PATHS…``. Reads
files and writes the ledger; knows neither models nor Discord's API.
"""

from trainer.importing.import_report import ImportReport
from trainer.importing.intake import import_paths

__all__ = ["ImportReport", "import_paths"]
