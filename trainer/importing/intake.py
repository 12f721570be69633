"""From files to the ledger: survey each export, then read it and hand it to the shelf.

Two passes over each export: the first learns who speaks in a channel and how people command its bots,
the second stores. Whatever was stored before a fault stays.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from ledger.people.policy import declared
from ledger.records import Basis, Source
from ledger.store import Ledger
from trainer.importing.addressing import Voices
from trainer.importing.chat_exporter import read_chat_export
from trainer.importing.data_package import read_data_package
from trainer.importing.files import Format, collected, format_of, shown
from trainer.importing.gate import NO_CONSENT, Gate
from trainer.importing.import_report import ImportReport
from trainer.importing.json_lines import read_json_lines
from trainer.importing.json_text import Malformed
from trainer.importing.message_drafts import FileReading, ImportProgress, MessageDraft, Reader, Skipped
from trainer.importing.shelf import Shelf

BATCH = 500
"""Messages stored in one transaction: consent is read anew for each, so an opt-out waits for 500 at most."""
UNDECLARED: Source = "import"
"""Source of a package that nobody vouches for."""
FAULTS_TOLD = 5
"""Broken parts of one file that its sentence names; the rest are counted."""
LOCKED_PACKAGE = (
    "A data package that nobody vouches for is an export like any other, and locked by policy: its owner can "
    'hand it in with `/privacy hand-in`, or you say with --basis "…" why you may use it.'
)
READERS: dict[Format, tuple[Reader, Source]] = {
    "chat export": (read_chat_export, "import"),
    "data package": (read_data_package, "package"),
    "json lines": (read_json_lines, "jsonl"),
}


async def import_paths(
    ledger: Ledger,
    paths: Iterable[Path],
    *,
    basis: str = "",
    guild_id: int | None = None,
    handed_in_by: int | None = None,
    channels: frozenset[int] | None = None,
    progress: Callable[[ImportProgress], None] | None = None,
) -> ImportReport:
    """Take exports into the ledger; a second import of the same adds nothing.

    ``basis`` states the operator's right to use the exports and is stored with each message; without it,
    only messages of people who have opted in are taken. ``guild_id`` limits the import to one server,
    and names the server of JSON lines that do not; ``channels`` limits it to these and their threads.
    ``handed_in_by`` is the member who gave their own data package: then only theirs is taken, and their
    words are open to learning. A package that nobody vouches for is an export like any other, since
    anybody can write a ``user.json``. Paths that name nothing and files that are broken or cut off get a
    sentence in ``problems`` and do not stop the others.

    Raises:
        ImportRefused: there is no file at all.
        LedgerError: the database cannot be written.
    """
    began = time.monotonic()
    ground = declared(basis.strip())
    gate = Gate(ledger, is_declared=bool(ground), guild_id=guild_id, channels=channels)
    intake = _Intake(
        ledger, gate, basis=ground, guild_id=guild_id, handed_in_by=handed_in_by, progress=progress
    )
    found, intake.report.problems = collected(paths)
    files = [(file, kind) for file in found if (kind := intake.recognised(file))]
    # All files are surveyed before the first is stored: the second part of a channel may hold the names that
    # the first part's lines lead with.
    for file, kind in files:
        intake.survey(file, kind)
    for file, kind in files:
        await intake.take(file, kind)
    intake.report.advice = _advice(intake.report, ground, handed_in_by) or intake.report.advice
    intake.report.seconds = time.monotonic() - began
    return intake.report


class _Intake:
    """One import under way."""

    def __init__(
        self,
        ledger: Ledger,
        gate: Gate,
        *,
        basis: Basis,
        guild_id: int | None,
        handed_in_by: int | None,
        progress: Callable[[ImportProgress], None] | None,
    ) -> None:
        self.report = ImportReport()
        self._guild_id = guild_id
        self._handed_in_by = handed_in_by
        self._vouched = bool(basis) or handed_in_by is not None
        self._progress = progress
        self._voices = Voices()
        self._shelf = Shelf(ledger, gate, self._voices, self.report, basis=basis)

    def recognised(self, file: Path) -> Format | None:
        """Return the file's format; if it is refused, note why and return None."""
        try:
            kind = format_of(file)
            if self._handed_in_by is not None and kind != "data package":
                raise Malformed("it is no data package; hand in the .zip that Discord sent you")
            return kind
        except Malformed as fault:
            self.report.problems.append(_refusal(file, fault, 0))
        except OSError as error:
            self.report.problems.append(
                f"{_name(file)} cannot be opened ({error.strerror}); check its permissions."
            )
        return None

    def survey(self, file: Path, kind: Format) -> None:
        """Learn the speakers' names and the bots' commands from the whole file."""
        if kind == "data package":  # one person's words say nothing about who else speaks there
            return
        reading = FileReading(file, self._guild_id)
        with suppress(Malformed):  # taking the file reports it
            for number, draft in enumerate(READERS[kind][0](reading)):
                if isinstance(draft, MessageDraft):
                    self._voices.of(draft.channel).hear(draft)
                if number % BATCH == 0:
                    self._tell(file, number, reading.share / 2)

    async def take(self, file: Path, kind: Format) -> None:
        """Store what may be kept of one file."""
        reader, source = READERS[kind]
        if source == "package" and not self._vouched:
            source = UNDECLARED
        reading = FileReading(file, self._guild_id, self._handed_in_by)
        drafts = reader(reading)
        before, added = self.report.read, self.report.added
        self.report.files += 1
        fault: Malformed | None = None
        while fault is None:
            batch, fault = _some(drafts)
            if not batch:
                break
            await self._shelf.store(batch, source)
            # The survey was the first half, and there was none for a package.
            share = reading.share if kind == "data package" else (1 + reading.share) / 2
            self._tell(file, self.report.read - before, share)
        await self._shelf.introduce_bots()
        if kind == "data package" and source == UNDECLARED and self.report.added > added:
            self.report.advice = LOCKED_PACKAGE
        taken = self.report.read - before
        if fault is not None:
            self.report.problems.append(_refusal(file, fault, taken))
        elif reading.cut_off:
            self.report.problems.append(_shortened(file, taken))
        if reading.faults:
            self.report.problems.append(_partly(file, reading.faults))

    def _tell(self, file: Path, messages: int, share: float) -> None:
        if self._progress is not None:
            self._progress(ImportProgress(file, messages, share))


def _some(drafts: Iterator[MessageDraft | Skipped]) -> tuple[list[MessageDraft | Skipped], Malformed | None]:
    """Return the next drafts, and the fault that follows them if there is one."""
    batch: list[MessageDraft | Skipped] = []
    try:
        for draft in itertools.islice(drafts, BATCH):
            batch.append(draft)  # one by one, so that those in front of a fault count
    except Malformed as fault:
        return batch, fault
    return batch, None


def _advice(report: ImportReport, basis: Basis, handed_in_by: int | None) -> str:
    """Say what to do where everything was left out for want of consent."""
    if basis or report.added or report.already_there or not report.left_out[NO_CONSENT]:
        return ""
    if handed_in_by is not None:
        return "Nothing was taken: you have not said yes for these channels; `/privacy opt-in` does."
    return (
        "Nothing was taken: nobody who wrote it has opted in. If you have the right to use it, say why with "
        '--basis "…"; otherwise members can run `/privacy opt-in`, and you import it again.'
    )


def _refusal(file: Path, fault: Malformed, read: int) -> str:
    where = f" at character {fault.position:,}" if fault.position >= 0 else ""
    before = f" The {read:,} messages in front of it were read." if read else ""
    fix = "" if ";" in str(fault) else "; export it again"  # some faults name their own remedy
    return f"{_name(file)} cannot be imported{where}: {fault}{fix}.{before}"


def _shortened(file: Path, read: int) -> str:
    return (
        f"{_name(file)} is cut off in the middle: its {read:,} complete messages were read; export it again "
        "and import that file too, nothing is added twice."
    )


def _partly(file: Path, faults: list[str]) -> str:
    more = f" and {len(faults) - FAULTS_TOLD:,} more" if len(faults) > FAULTS_TOLD else ""
    return (
        f"{_name(file)} could not be read whole: {', '.join(faults[:FAULTS_TOLD])}{more}; the rest was read. "
        "Download it again and import that file too, nothing is added twice."
    )


def _name(file: Path) -> str:
    return shown(Path(file.name))
