"""The engine ends with the process that started it, however that one ends."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.engine.conftest import engine_process


def test_the_engine_ends_when_its_parent_lets_go_of_it(tiny_base: Path, tmp_path: Path) -> None:
    with engine_process(tmp_path, tiny_base, context_tokens=512) as running:
        assert running.process.stdin is not None
        running.process.stdin.close()
        assert running.process.wait(10) == 0


WATCHED = """
import threading
from engine.parent import end_with_parent
end_with_parent()
print("watching", flush=True)
threading.Event().wait()
"""
BETWEEN = """
import subprocess, sys
held = int(sys.argv[2])
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE, text=True, pass_fds=[held])
print(child.stdout.readline(), flush=True)
sys.stdin.read()
"""


def test_it_ends_when_its_parent_is_killed_without_a_word() -> None:
    """The child alone holds the pipe's other end after its parent's death, so the pipe ends with it."""
    ours, held = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", BETWEEN, WATCHED, str(held)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        text=True,
        pass_fds=[held],
    ) as parent:
        os.close(held)
        assert parent.stdout is not None
        assert parent.stdout.readline() == "watching\n"
        assert select.select([ours], [], [], 0)[0] == [], "the child lives"
        parent.kill()
    ended, _, _ = select.select([ours], [], [], 20)
    assert ended, "the child still lives"
    os.close(ours)
