"""The benchmark of a GPU, where there is none: it says so, and what it would run is a command that exists."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bench_engine
from bench_gpu import serving_command
from tests.test_house import ROOT


def test_it_measures_serving_with_options_that_the_engines_benchmark_has() -> None:
    script, *options = serving_command(Path("base"))
    assert Path(script) == Path(bench_engine.__file__)
    parsed = bench_engine.parser().parse_args(options)
    assert (parsed.device, parsed.quantization, parsed.base) == ("cuda", "4bit", "base")


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is a GPU")
def test_without_a_gpu_it_ends_with_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/bench_gpu.py", "--shape", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no NVIDIA GPU" in done.stderr
