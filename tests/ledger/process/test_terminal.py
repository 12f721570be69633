"""How commands end: one form of error for scripts, and no trace when nobody reads any more."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.errors import ConfigurationError
from ledger.process.terminal import INTERRUPTED, run_command

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text("", encoding="utf-8")
    return path


def export(folder: Path) -> Path:
    """Write an export whose report fills more than a pipe."""
    lines = (
        {"guild": 41, "channel": "pond", "author": f"Ada {n % 3}", "content": f"fact {n}", "timestamp": n}
        for n in range(1, 60)
    )
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("trainer", "--help"),
        ("trainer", "import", "{export}", "--basis", "a vote"),
        ("trainer", "import", "{export}", "--basis", "a vote", "--json"),
        ("trainer", "import", "{export}.absent", "--json"),
        ("trainer", "adapters"),
        ("trainer", "runs", "--json"),
        ("trainer", "nonsense", "--json"),
        ("bot", "--help"),
        ("bot", "policy"),
        ("bot", "check"),
    ],
    ids=" ".join,
)
def test_a_closed_stdout_is_no_traceback(settings_file: Path, arguments: tuple[str, ...]) -> None:
    path = export(settings_file.parent)
    room, *others = (argument.format(export=path) for argument in arguments)
    config = [] if "--help" in others else ["--config", str(settings_file)]
    with subprocess.Popen(
        [sys.executable, "-m", room, *others, *config],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        child.stdout.close()  # as `… | head -0` does
        _, told = child.communicate(timeout=60)
    assert "Traceback" not in told
    assert "BrokenPipe" not in told
    assert "Exception ignored" not in told
    assert child.returncode in (1, 2)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("bot", "nonsense"), 2, "invalid choice"),
        (("adapters",), 1, "knows no server yet"),
        (("runs",), 1, "knows no server yet"),
        (("import", "absent.json"), 1, "no file or folder"),
        (("evaluate", "absent", "absent"), 1, "no adapter folder absent"),
        (("evaluate", ".", "absent"), 1, "absent is no dataset"),
        (("report", "x"), 1, "no run 'x'"),
        (("adapters", "--guild", "9" * 30), 2, "is no number that Discord gives"),
        (("nonsense",), 2, "invalid choice"),
        (("fit",), 2, "required"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_error_has_one_form_for_scripts(
    settings_file: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    room = [] if arguments[0] == "bot" else ["trainer"]
    done = subprocess.run(
        [sys.executable, "-m", *room, *arguments, "--json", "--config", str(settings_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    outcome = json.loads(done.stdout.split("\n")[-2])
    assert list(outcome) == ["error"]
    assert told in outcome["error"]
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == code


def test_a_defect_is_told_to_scripts_and_its_trace_to_people(settings_file: Path) -> None:
    code = "import trainer.commands.handlers as c, trainer.__main__ as m\n"
    code += "c._HANDLERS['runs'] = lambda settings, options: {}['a secret']\n"
    code += f"m.main(['runs', '--json', '--config', {str(settings_file)!r}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "KeyError" in json.loads(done.stdout)["error"]
    assert "Traceback" in done.stderr
    assert "a secret" not in done.stdout + done.stderr


def test_a_broken_pipe_of_something_else_is_a_defect_still() -> None:
    code = "from ledger.process.terminal import ended\ndef main():\n    raise BrokenPipeError\nended(main)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "BrokenPipeError" in done.stderr
    assert done.returncode == 1


def interrupt() -> int:
    raise KeyboardInterrupt


def test_a_command_that_is_interrupted_ends_with_130_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(interrupt, name="x", for_scripts=True, facts={"ready": False}) == INTERRUPTED == 130
    told = capsys.readouterr()
    assert json.loads(told.out) == {"ready": False, "error": "It was interrupted."}
    assert told.err == "Stopped.\n"


def test_a_command_that_runs_until_it_is_stopped_ends_well_with_ctrl_c(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(interrupt, name="x", for_scripts=True, until_stopped=True) == 0
    assert capsys.readouterr() == ("", "Stopped.\n")


def test_a_refusal_has_its_own_exit_code_and_names_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> int:
        raise ConfigurationError("a.b: 1 is too small")

    assert run_command(refuse, name="engine", for_scripts=False) == 78
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("engine: ")


@pytest.mark.parametrize("room", ["bot", "engine", "trainer"])
def test_every_program_ends_by_the_one_rule(room: str) -> None:
    source = (ROOT / room / "__main__.py").read_text(encoding="utf-8")
    assert "run_command(" in source
    assert "sys.exit(ended(main))" in source
    handlers = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler)]
    assert {ast.unparse(node.type) for node in handlers if node.type} <= {"OSError"}
