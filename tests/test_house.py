"""The house itself: which room may import which, what no file may hold, and the README's tree."""

from __future__ import annotations

import ast
import json
import re
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from bench_start import commands

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "ledger": {"ledger"},
    "bot": {"bot", "ledger"},
    "engine": {"engine", "ledger"},
    "trainer": {"trainer", "engine", "ledger"},
}
HEAVY = {"torch", "transformers", "peft", "datasets", "bitsandbytes", "accelerate"}
DISCORD = {"discord", "simcord"}
LATE = {"pydantic", "aiohttp", "aiosqlite", "numpy"}
"""What a command may load, but no ``--help``: pydantic and the settings alone take 0.6 seconds."""
TEXT = {".py", ".md", ".toml", ".sql", ".lock", ".txt", ".html", ".js", ".css", ".json", ".ipynb", ""}

# Assembled from halves, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.~-])/(?:wor" r"k|tm" r"p|home|root|Users)/\w",
    "the number of an issue": r"(?i)\biss" r"ues? #?\d",
    "the host of a package registry": r"(?i)\bpy" r"pi\.org|python" r"hosted\.org",
    "a Discord token": r"\b[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,}",
    "a key": r"\b(?:hf_[A-Za-z0-9]{30}|sk-[A-Za-z0-9]{20}|ghp_[A-Za-z0-9]{30})",
    "something left to do": r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b",
}
FORBIDDEN_IN_CODE = {
    "unpickling": r"\bpickle\.loa"
    r"ds?\b|\bimport pick"
    r"le\b|allow_pick"
    r"le=True|weights_only=F"
    r"alse",
    "a bare except": r"(?m)^\s*exc" r"ept\s*:",
    "a shell": r"shell=T" r"rue|os\.sys" r"tem\(",
    "remote code": r"trust_remote_c" r"ode=True",
}
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "stuff"}


@cache
def tracked() -> list[Path]:
    """Return the project's own files: what git tracks, or all but caches where there is no git."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file() and not _hidden(path)]


def _hidden(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    return any(part.startswith(".") or part in {"__pycache__", "build"} for part in parts)


def code_of(room: str) -> list[Path]:
    found = [path for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts]
    assert found, f"{room}/ has no code"
    return sorted(found)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Give the first name of everything that the file imports, inside functions as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def project_imports(path: Path) -> Iterator[str]:
    """Give every module of the project that the file imports, for types alone as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split("."), f"{alias.name}.py")
                yield f"{node.module}.{alias.name}" if inner.is_file() else node.module


def loaded_by(rooms: list[str]) -> set[str]:
    """Import every module of the rooms in a fresh process; return the top names that it then knows."""
    names = [module_name(path) for room in rooms for path in code_of(room)]
    script = (
        f"import importlib, json, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_ledger_and_the_bot_load_nothing_heavy() -> None:
    assert not loaded_by(["ledger", "bot"]) & (HEAVY | {"engine", "trainer"})


def test_the_ledger_alone_loads_no_discord_either() -> None:
    assert not loaded_by(["ledger"]) & (HEAVY | DISCORD)


def test_the_engine_and_the_trainer_load_no_discord() -> None:
    assert not loaded_by(["ledger", "engine", "trainer"]) & (DISCORD | {"bot"})


def test_preparing_judging_importing_and_the_record_load_no_model_library() -> None:
    """Torch costs 1.7 seconds, which a list of nights or an import of exports need not wait for."""
    rooms = [
        f"trainer/{chamber}" for chamber in ("preparing", "choosing", "judging", "importing", "commands")
    ]
    assert not loaded_by(rooms) & HEAVY


def test_of_the_engine_the_trainer_imports_the_model_part_alone() -> None:
    nodes = [
        (path, node)
        for path in code_of("trainer")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    names = {
        (str(path.relative_to(ROOT)), name)
        for path, node in nodes
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        if name and name.split(".")[0] == "engine"
    }
    assert names
    assert not {found for found in names if not found[1].startswith("engine.model.")}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_only_go_down(room: str) -> None:
    forbidden = (MAY_IMPORT.keys() | {"tests", "benchmarks"}) - MAY_IMPORT[room]
    if room in {"ledger", "bot"}:
        forbidden = forbidden | HEAVY
    if room != "bot":
        forbidden = forbidden | DISCORD
    found = {module_name(path): set(imports(path)) & forbidden for path in code_of(room)}
    assert not {name: bad for name, bad in found.items() if bad}


def test_preparing_judging_and_the_record_load_no_torch() -> None:
    rooms = [
        f"trainer/{chamber}" for chamber in ("preparing", "choosing", "judging", "importing", "commands")
    ]
    assert not loaded_by(rooms) & HEAVY


def test_the_trainer_knows_the_engines_model_part_alone() -> None:
    found = {module_name(path): set(project_imports(path)) for path in code_of("trainer")}
    strange = {
        (name, target)
        for name, targets in found.items()
        for target in targets
        if target.startswith("engine") and not target.startswith("engine.model")
    }
    assert not strange


def test_the_engines_model_part_knows_no_other_part_of_the_engine() -> None:
    for path in code_of("engine/model"):
        targets = set(project_imports(path))
        assert not {t for t in targets if t.startswith("engine") and not t.startswith("engine.model")}, path


# Where settings may be read: what reads them, what builds from them, and what starts with them.
BUILDERS = {
    "bot.__main__",
    "bot.client",
    "bot.demo.play",
    "bot.hosting.check",
    "bot.hosting.privacy_page",
    "bot.run",
    "bot.services",
    "engine.__main__",
    "engine.building",
    "ledger.forgetting.by_settings",
    "ledger.settings_page",
    "trainer.builders",
    "trainer.commands.console",
    "trainer.commands.handlers",
    "trainer.commands.record_commands",
}


def test_settings_stop_at_the_builders() -> None:
    readers = {
        module_name(path)
        for room in MAY_IMPORT
        for path in code_of(room)
        if "ledger.settings" in set(project_imports(path))
    }
    assert readers <= BUILDERS


def test_no_module_imports_itself_by_a_detour() -> None:
    """Counts imports for types and within functions as well: a circle is one however late it closes."""
    graph = {module_name(path): set(project_imports(path)) for room in MAY_IMPORT for path in code_of(room)}
    # What nobody in the circle imports, or imports nobody in it, is taken away until nothing changes.
    while True:
        inner = {
            name: {t for t in targets if t in graph}
            for name, targets in graph.items()
            if targets & graph.keys() and any(name in others for others in graph.values())
        }
        if len(inner) == len(graph):
            break
        graph = inner
    assert not graph


def test_no_folder_holds_more_than_a_dozen_modules() -> None:
    folders = Counter(path.parent for room in MAY_IMPORT for path in code_of(room) if path.name[0] != "_")
    assert not {str(folder): count for folder, count in folders.items() if count > 12}


def test_every_folder_names_its_modules() -> None:
    """One line a module, "- name: what it is", in the docstring of the folder."""
    missing = []
    for path in (path for room in MAY_IMPORT for path in code_of(room) if path.name[0] != "_"):
        listing = (
            ast.get_docstring(ast.parse((path.parent / "__init__.py").read_text(encoding="utf-8"))) or ""
        )
        named = {name for line in re.findall(r"(?m)^- ([\w, ]+): \S", listing) for name in line.split(", ")}
        if path.stem not in named:
            missing.append(str(path.relative_to(ROOT)))
    assert not missing


def test_no_file_name_stands_in_two_rooms() -> None:
    names = Counter(path.name for room in MAY_IMPORT for path in code_of(room) if path.name[0] != "_")
    assert not {name: count for name, count in names.items() if count > 1}


def test_no_class_name_stands_in_two_modules() -> None:
    homes: dict[str, list[str]] = {}
    for room in MAY_IMPORT:
        for path in code_of(room):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes.setdefault(node.name, []).append(module_name(path))
    assert not {name: found for name, found in homes.items() if len(found) > 1}


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help_is_instant(command: tuple[str, ...]) -> None:
    """Measured in processor time, so that a busy machine proves nothing against the code."""
    script = (
        f"import runpy, sys\nsys.argv = {[*command, '--help']!r}\n"
        "try: runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"
        f"finally: print(sorted(set(sys.modules) & {HEAVY | DISCORD | LATE!r}), file=sys.stderr)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
    assert done.stderr.splitlines()[-1] == "[]"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5


def test_no_file_holds_what_belongs_elsewhere() -> None:
    found = []
    for path in tracked():
        if path.suffix in TEXT and path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            rules = FORBIDDEN | (FORBIDDEN_IN_CODE if path.suffix == ".py" else {})
            for what, pattern in rules.items():
                if hit := re.search(pattern, text):
                    line = text.count("\n", 0, hit.start()) + 1
                    found.append(f"{path.relative_to(ROOT)}:{line} holds {what}: {hit[0]!r}")
    assert not found, "\n".join(found)


def test_every_file_of_code_says_what_it_is_and_has_a_name_that_does() -> None:
    for room in MAY_IMPORT:
        for path in code_of(room):
            assert not VAGUE & set(re.split(r"[_.]", path.name)), path
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} says nothing"


def test_tests_mirror_the_rooms() -> None:
    """Forgetting goes through all rooms, fuzzing is a target of its own; each has a folder of its own."""
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    strange = {str(folder) for folder in folders if folder.parts and not (ROOT / folder).is_dir()}
    assert strange == {"forgetting", "fuzz"}


def readme_tree() -> list[tuple[str, str]]:
    """Return (path, description) of every line of the README's tree."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"## The house\n\n```\n(.*?)```", readme, re.DOTALL)
    lines, parents = [], [""]
    for line in block.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, description = line.strip().partition(" ")
        parents[depth + 1 :] = [parents[depth] + name]
        lines.append((parents[depth] + name, description.strip()))
    return lines


def test_every_path_in_the_readmes_tree_is_there_and_described() -> None:
    for path, description in readme_tree():
        assert (ROOT / path).exists(), path
        assert (ROOT / path).is_dir() == path.endswith("/"), path
        assert description, path


def test_every_top_folder_is_in_the_readmes_tree() -> None:
    tops = {path.relative_to(ROOT).parts[0] + "/" for path in tracked() if path.parent != ROOT}
    assert {top for top in tops if not top.startswith(".")} <= {path for path, _ in readme_tree()}


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = []
    for page in (path for path in tracked() if path.suffix == ".md"):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert not broken


def test_the_lock_holds_every_requirement_exactly_once() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines() if line]
    pins = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+( ; .+)?", pin) for pin in pins)
    names = [_normal(pin.split("==")[0]) for pin in pins]
    assert len(names) == len(set(names))
    assert "torch==2.13.0" in pins
    assert _required() <= set(names)


def _required() -> set[str]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    return {_normal(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in wanted} - {"nightschool"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
