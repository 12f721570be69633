"""What the code imports and what pyproject.toml declares are the same, extra by extra."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

from ledger.process.extras import EXTRAS
from tests.test_house import ROOT, code_of, imports, module_name

ROOMS = ("ledger", "bot", "engine", "trainer")
ALLOWED = {
    "ledger": {""},
    "bot": {""},
    "bot/demo": {"", "demo"},
    "engine": {"", "engine"},
    "trainer": {"", "engine", "trainer", "trackers"},
    "tests": {"", "engine", "trainer", "trackers", "demo", "dev"},
    "benchmarks": {"", "engine", "trainer"},
}
"""The extras whose packages a folder may import; "" stands for what is always installed."""
INDIRECT = {
    "accelerate": "transformers places models with it (device_map) and trains through it",
    "bitsandbytes": "transformers loads 4-bit weights with it",
    "mypy": "a command of `make lint`",
    "protobuf": "transformers converts sentencepiece tokenizers with it",
    "pytest-asyncio": "a plugin of pytest",
    "pytest-cov": "a plugin of pytest",
    "pytest-timeout": "a plugin of pytest",
    "ruff": "a command of `make lint`",
    "sentencepiece": "transformers reads tokenizer.model with it",
    "tzdata": "zoneinfo reads it where the system has no zones",
}
"""Declared packages that no line imports, and who loads them."""
COMPARED = {
    "detect_secrets",
    "faker",
    "openvino",
    "openvino_genai",
    "openvino_tokenizers",
    "presidio_analyzer",
    "profanity_check",
    "scrubadub",
    "sklearn",
    "xllamacpp",
}
"""What benchmarks compare with; each says by itself that it wants to be installed."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def declared() -> dict[str, set[str]]:
    """Return the packages of each extra, without the project itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return {
        extra: {normal(re.split(r"[\[<>=!~; ]", each)[0]) for each in wanted} - {"nightschool"}
        for extra, wanted in lists.items()
    }


@cache
def packages_of() -> dict[str, set[str]]:
    """Return the packages that bring each module, by the module's name."""
    return {module: {normal(each) for each in found} for module, found in packages_distributions().items()}


def foreign_imports(folder: str) -> Iterator[tuple[str, str]]:
    """Yield (file, module) of every import that is neither Python's nor the project's own."""
    files = code_of(folder)
    own = {*ROOMS, "tests", "benchmarks"} | {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    for path in files:
        nearest = next(each for each in sorted(ALLOWED, reverse=True) if path.is_relative_to(ROOT / each))
        if nearest == folder:
            for name in set(imports(path)) - own - sys.stdlib_module_names:
                yield module_name(path), name


@pytest.mark.parametrize("folder", ALLOWED)
def test_every_import_is_declared_where_its_room_needs_it(folder: str) -> None:
    known = set().union(*(declared()[extra] for extra in ALLOWED[folder]))
    strange = {
        (file, module)
        for file, module in foreign_imports(folder)
        if module not in COMPARED and not packages_of().get(module, set()) & known
    }
    assert not strange


def test_every_declared_package_is_imported_or_has_a_reason() -> None:
    imported = {
        package
        for folder in ALLOWED
        for _, module in foreign_imports(folder)
        for package in packages_of().get(module, ())
    }
    everything = set().union(*declared().values())
    assert everything - imported == set(INDIRECT)


def test_no_package_is_declared_twice() -> None:
    lists = list(declared().values())
    assert sum(map(len, lists)) == len(set().union(*lists))


def test_what_serving_is_compared_with_is_no_part_of_the_product() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    group = {normal(re.split(r"[\[<>=!~; ]", each)[0]) for each in project["dependency-groups"]["bench"]}
    locked = {
        normal(line.split("==")[0])
        for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    }
    assert group == {"openvino", "openvino-genai", "openvino-tokenizers", "xllamacpp"}
    assert not group & (locked | set().union(*declared().values()))


def test_torch_is_pinned_to_one_version() -> None:
    """A range could bring gigabytes of CUDA packages along."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'"torch[^"]*"', text) == ['"torch==2.13.0"']


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_known_by_packages_that_it_brings(extra: str) -> None:
    assert set(EXTRAS[extra]) <= {
        module for module, packages in packages_of().items() if packages & declared()[extra]
    }


def run_without(modules: set[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process in which ``modules`` cannot be found, as if they were not installed."""
    script = f"""
import importlib.abc, importlib.util, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {modules!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {modules!r} else find(name, package)
{code}"""
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )


def modules_beyond(allowed: set[str]) -> set[str]:
    """Return the modules that are not there where only the ``allowed`` extras are installed."""
    there = {"pip", "setuptools"}
    waiting = set().union(*(declared()[extra] for extra in allowed))
    while waiting:
        there |= waiting
        waiting = set().union(*map(needed_by, waiting)) - there
    return {module for module, packages in packages_of().items() if not packages & there}


def needed_by(package: str) -> set[str]:
    """Return what an installed package needs without extras of its own."""
    try:
        wanted = requires(package) or []
    except PackageNotFoundError:  # for another system or another Python
        return set()
    return {normal(re.split(r"[\[<>=!~;( ]", each)[0]) for each in wanted if "extra ==" not in each}


def imported(paths: list[Path]) -> str:
    names = [module_name(path) for path in paths]
    return f"import importlib\nfor name in {names!r}: importlib.import_module(name)"


def test_the_bot_and_the_ledger_load_with_the_base_dependencies_alone() -> None:
    bot = [path for path in code_of("bot") if "demo" not in path.parts]
    hidden = modules_beyond({""})
    assert {"torch", "transformers", "simcord", "tensorboard"} <= hidden
    done = run_without(hidden, imported([*code_of("ledger"), *bot]))
    assert done.returncode == 0, done.stderr


def test_imports_and_the_record_need_no_extra() -> None:
    paths = [*code_of("trainer/importing"), *code_of("trainer/commands"), ROOT / "trainer/__main__.py"]
    done = run_without(modules_beyond({""}), imported(paths))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_fit_needs_no_tracker() -> None:
    # Loaded only where the extra is there.
    others = [path for path in code_of("trainer") if path.name != "scalars.py"]
    done = run_without(modules_beyond({"", "engine", "trainer"}), imported(others))
    assert done.returncode == 0, done.stderr


COMMANDS = {
    ("bot", "demo", "--once"): "demo",
    ("engine",): "engine",
    ("engine", "fetch-small"): "engine",
    ("trainer", "night"): "trainer",
    ("trainer", "fit", "nowhere"): "trainer",
    ("trainer", "evaluate", "nowhere", "nowhere"): "trainer",
    ("trainer", "promote", "g7-v000001"): "engine",
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_without_its_extra_names_what_to_install(command: tuple[str, ...]) -> None:
    extra = COMMANDS[command]
    script = (
        f"import runpy; sys.argv = {list(command)!r}\n"
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
    )
    done = run_without(modules_beyond(set(declared()) - {extra}), script)
    assert done.returncode == 1, done.stderr
    assert f'pip install -e ".[{extra}]"' in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["prepare", "adapters", "runs", "rollback"])
def test_a_command_that_needs_no_extra_says_what_it_has_to_say_without_one(
    command: str, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("")
    script = (
        f"import runpy; sys.argv = ['trainer', {command!r}, '--config', {str(tmp_path / 'config.toml')!r}]\n"
        "runpy.run_module('trainer', run_name='__main__', alter_sys=True)"
    )
    done = run_without(modules_beyond({""}), script)
    assert done.returncode == 1
    assert done.stderr == (
        "trainer: The ledger knows no server yet: run the bot in one, or import an export with "
        "`python -m trainer import`.\n"
    )
