"""Exports into the ledger: DiscordChatExporter JSON, Discord data packages and plain JSON lines.

``await import_paths(ledger, paths, basis="…")``, or ``python -m trainer import PATHS…``. It reads files and
writes the ledger; it knows neither models nor Discord's API.

- intake: one import: survey each file, then read it and hand it to the shelf
- files: which files there are, how each is opened, and which format it has
- json_text: JSON of any length, one value in memory at a time
- chat_exporter: DiscordChatExporter's JSON
- data_package: a member's own zip
- json_lines: one message a line
- channels: kinds of channels
- message_drafts: what every reader yields
- addressing: whom a line speaks to, by the names of a channel's authors
- gate: what must not be stored, and why
- shelf: what is stored, in one transaction a batch
- import_report: counts, and a sentence for each file that was not read whole
"""

from trainer.importing.import_report import ImportReport
from trainer.importing.intake import import_paths

__all__ = ["ImportReport", "import_paths"]
