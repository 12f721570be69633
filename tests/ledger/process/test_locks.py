"""Locks: one holder at a time, named to whoever comes too early, freed when the holder dies."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ledger.errors import NightBusy
from ledger.process.locks import Held, awaited_night_lock, hold, night_lock, night_lock_path

ROOT = Path(__file__).resolve().parents[3]


def test_another_guilds_night_is_no_obstacle(tmp_path: Path) -> None:
    with night_lock(night_lock_path(tmp_path, 1)), night_lock(night_lock_path(tmp_path, 2)):
        pass


def test_a_killed_process_frees_its_lock(tmp_path: Path) -> None:
    program = """
        import sys, time
        from pathlib import Path
        from ledger.process.locks import night_lock
        with night_lock(Path(sys.argv[1])) as name:
            name("g7-killed")
            print("held", flush=True)
            time.sleep(60)
    """
    path = tmp_path / "night-7.lock"
    command = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(NightBusy, match="g7-killed"), night_lock(path):
            pass
        holder.kill()
        holder.wait()
    with night_lock(path):
        pass


def test_who_comes_too_early_reads_what_the_holder_noted(tmp_path: Path) -> None:
    path = tmp_path / "bot.lock"
    with hold(path) as note:
        note("the first")
        with pytest.raises(Held) as refused, hold(path):
            pass
        assert refused.value.note == "the first"
    with hold(path):
        assert path.read_text() == ""


@pytest.mark.parametrize("note", ["", "{", "[]", '{"run": 7}'])
def test_a_night_that_has_noted_nothing_yet_is_in_the_way_all_the_same(tmp_path: Path, note: str) -> None:
    path = night_lock_path(tmp_path, 7)
    with hold(path) as write:
        write(note)
        with (
            pytest.raises(NightBusy, match=r"under way already \(just starting or ending\)"),
            night_lock(path),
        ):
            pass


async def test_a_night_that_waits_gets_the_lock_when_it_comes_free_or_gives_up(tmp_path: Path) -> None:
    path = night_lock_path(tmp_path, 7)
    asked: list[float] = []

    def stop() -> bool:
        asked.append(0.0)
        return len(asked) > 2

    with night_lock(path), pytest.raises(NightBusy):
        async with awaited_night_lock(path, seconds=60, stop=stop):
            pass
    assert len(asked) == 3
    async with awaited_night_lock(path, seconds=0, stop=stop) as name:
        name("g7-second")
        with pytest.raises(NightBusy, match="g7-second"), night_lock(path):
            pass
