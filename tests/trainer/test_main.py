"""``python -m trainer``: help, usage and exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainer.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def call(config: Path, *arguments: str) -> int:
    name, *rest = arguments
    return main([name, "--config", str(config), *rest])


def test_help_is_instant_and_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom trainer.__main__ import parser\nparser().format_help()\n"
        "sys.exit(bool({'torch', 'transformers', 'datasets', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("command", ["night", "prepare", "fit", "evaluate", "import", "adapters", "promote"])
def test_every_command_has_help_config_and_json(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "--config" in text
    assert "--json" in text


def test_wrong_usage_ends_with_2() -> None:
    for arguments in ([], ["nonsense"], ["fit"], ["night", "--now", "yesterday"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


def test_missing_settings_end_with_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tmp_path / "none.toml", "runs") == 78
    assert "There is no settings file" in capsys.readouterr().err
