"""A night's files: put in place whole, cleared of what is not theirs, and removed in time."""

from __future__ import annotations

from engine.model.adapter_files import verify, write_manifest
from engine.model.loading import base_fingerprint
from ledger.settings import Settings
from ledger.store import Ledger
from tests.trainer.conftest import GUILD, changed, fill, night


async def test_what_another_run_left_in_a_versions_place_is_not_taken_for_its_own(
    ledger: Ledger, quick: Settings
) -> None:
    """A database that was restored counts versions anew, and a folder of a later one may lie there still."""
    await fill(ledger)
    folder = quick.adapters_dir / str(GUILD) / f"g{GUILD}-v000001"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"what somebody forgotten said")
    write_manifest(folder, version=folder.name, base_fingerprint="0" * 64, run=f"g{GUILD}-20300101T000000")
    outcome = await night(ledger, changed(quick, "training", epochs=1))
    assert outcome.error is None
    manifest = verify(folder, base_fingerprint=base_fingerprint(quick.base_model()))
    assert manifest.fields["run"] == outcome.run
