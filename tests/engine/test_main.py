"""``python -m engine`` as a process: what it says before it serves, and how it ends."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from tests.engine.conftest import engine_process


@pytest.mark.parametrize("port", ["70000", "-1", "owl", "9" * 5000])
def test_a_port_that_cannot_be_is_a_usage_error_before_anything_is_loaded(port: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine", f"--port={port}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "is no port: give a number from 0 to 65535" in done.stderr


def test_a_taken_port_is_told_before_the_model_loads(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    # There is no such model: had it been looked for first, that would have been the sentence.
    config = tmp_path / "config.toml"
    config.write_text(f"[model]\nbase = '{tmp_path / 'nothing'}'\n")
    done = subprocess.run(
        [sys.executable, "-m", "engine", "--config", str(config), "--port", str(port), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    taken.close()
    assert done.returncode == 1
    assert f"Port {port} on 127.0.0.1 cannot be used (Address already in use): set another." in done.stderr
    assert json.loads(done.stdout)["ready"] is False


def test_sigterm_lets_a_running_answer_end_and_exits_cleanly(tiny_base: Path, tmp_path: Path) -> None:
    with engine_process(tmp_path, tiny_base, context_tokens=512) as running:
        client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="night-owl", max_retries=0)
        chunks = client.chat.completions.create(
            model="base",
            messages=[{"role": "user", "content": "where is it?"}],
            stream=True,
            max_tokens=300,
            temperature=1,
            seed=3,
        )
        next(chunks)
        running.process.terminate()
        assert list(chunks)[-1].choices[0].finish_reason
        assert running.process.wait(15) == 0


def test_a_missing_base_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    with engine_process(tmp_path, tmp_path / "nothing") as running:
        assert running.process.wait(30) == 1
        assert "There is no base model folder at" in (tmp_path / "log").read_text()
