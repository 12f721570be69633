"""Settings: the shipped file, its page in docs/, and every way in which a file can be wrong."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import pytest

from ledger.errors import ConfigurationError
from ledger.settings import Secrets, Settings, load_settings
from ledger.settings_page import docstrings, sections

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "config.toml"


def refused(path: Path, text: str) -> ConfigurationError:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path)
    return caught.value


def test_every_setting_has_a_default_and_a_description_of_one_line() -> None:
    for section, model in sections().items():
        for name, field in model.model_fields.items():
            assert not field.is_required(), f"{section}.{name} has no default"
            told = docstrings(model).get(name, "")
            assert told, f"{section}.{name} has no description"
            assert "\n" not in told
            assert told.endswith(".")


def test_the_shipped_file_holds_every_setting_with_its_default() -> None:
    shipped = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))
    assert shipped.keys() == sections().keys()
    for section, model in sections().items():
        assert shipped[section].keys() == model.model_fields.keys(), section
        for name, value in model().model_dump(mode="json").items():
            assert shipped[section][name] == value, f"{section}.{name}"


def test_the_shipped_file_loads_and_describes_each_setting_as_the_code_does() -> None:
    load_settings(SHIPPED)
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    section = ""
    for above, line in itertools.pairwise(lines):
        if line.startswith("["):
            section = line.strip("[]")
        elif " = " in line and not line.startswith("#"):
            name = line.split(" = ")[0]
            assert above == f"# {docstrings(sections()[section])[name]}"


def test_the_shipped_base_model_is_tinyllama() -> None:
    assert load_settings(SHIPPED).model.base == "TinyLlama/TinyLlama-1.1B-Chat-v1.0"


def test_an_empty_file_means_all_defaults(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("", encoding="utf-8")
    assert load_settings(tmp_path / "config.toml") == Settings(root=tmp_path)


def test_folders_are_relative_to_the_file_and_not_to_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "config.toml").write_text('[paths]\ndata = "memory"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    settings = load_settings(Path("place/config.toml"))
    assert settings.database == tmp_path / "place" / "memory" / "ledger.db"
    assert settings.adapters_dir == tmp_path / "place" / "models" / "adapters"


def test_a_base_model_in_a_folder_becomes_its_full_path_and_a_hub_name_stays(tmp_path: Path) -> None:
    (tmp_path / "models" / "base" / "tiny").mkdir(parents=True)
    config = tmp_path / "config.toml"
    config.write_text('[model]\nbase = "models/base/tiny"\n', encoding="utf-8")
    assert load_settings(config).base_model() == str(tmp_path / "models" / "base" / "tiny")
    config.write_text('[model]\nbase = "someone/some-model"\n', encoding="utf-8")
    assert load_settings(config).base_model() == "someone/some-model"


def test_an_unknown_setting_is_refused_by_its_dotted_name(tmp_path: Path) -> None:
    error = refused(tmp_path / "config.toml", "[training]\nlearning_rat = 1e-4\n")
    assert set(error.problems) == {"training.learning_rat"}
    assert "spelling" in error.problems["training.learning_rat"]
    assert error.exit_code == 78


def test_an_unknown_section_is_refused(tmp_path: Path) -> None:
    assert set(refused(tmp_path / "config.toml", "[discord]\na = 1\n").problems) == {"discord"}


def test_several_mistakes_are_reported_at_once_each_with_its_value(tmp_path: Path) -> None:
    error = refused(
        tmp_path / "config.toml",
        """
        [training]
        epochs = 0
        trackers = ["wandb", "abacus"]
        [schedule]
        timezone = "Middle/Earth"
        cron = "at three"
        [bot]
        top_p = 1.5
        nickname = "Owl"
        """,
    )
    assert set(error.problems) == {
        "training.epochs",
        "training.trackers.1",
        "schedule.timezone",
        "schedule.cron",
        "bot.top_p",
        "bot.nickname",
    }
    assert "0" in error.problems["training.epochs"]
    assert "Middle/Earth" in error.problems["schedule.timezone"]
    assert "0 3 * * *" in error.problems["schedule.cron"]
    assert all(name in str(error) for name in error.problems)
    assert "6 setting(s)" in str(error)


def test_a_value_where_a_section_belongs_is_refused(tmp_path: Path) -> None:
    assert set(refused(tmp_path / "config.toml", "bot = 3\n").problems) == {"bot"}


def test_windows_must_be_longer_than_what_they_repeat(tmp_path: Path) -> None:
    error = refused(tmp_path / "config.toml", "[dataset]\nmax_messages = 8\noverlap_messages = 8\n")
    assert set(error.problems) == {"dataset.overlap_messages"}


def test_an_empty_base_model_is_refused(tmp_path: Path) -> None:
    assert set(refused(tmp_path / "config.toml", '[model]\nbase = ""\n').problems) == {"model.base"}


def test_root_cannot_be_set_in_the_file(tmp_path: Path) -> None:
    assert "root" in str(refused(tmp_path / "config.toml", 'root = "/"\n'))


def test_a_missing_file_is_one_sentence_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no settings file at .*nowhere\.toml; .*--config"):
        load_settings(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("content", [b"[bot\nname = 3", b"\xff\xfe\x00", b"just words"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="cannot be read as TOML"):
        load_settings(path)


def test_a_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings(tmp_path)


def test_a_token_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    error = refused(tmp_path / "config.toml", '[bot]\ndiscord_token = "xyzzy-secret"\n')
    assert set(error.problems) == {"bot.discord_token"}
    assert "xyzzy" not in str(error)


def test_the_environment_does_not_change_settings_behind_the_files_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOT", '{"name": "Impostor"}')
    monkeypatch.setenv("BOT__NAME", "Impostor")
    (tmp_path / "config.toml").write_text("", encoding="utf-8")
    assert load_settings(tmp_path / "config.toml").bot.name == "Nightschool"


def test_settings_cannot_be_changed_once_loaded(settings: Settings) -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings.bot.name = "Owl"


def test_the_token_comes_from_the_environment_or_a_dotenv_file_and_is_never_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Secrets().discord_token.get_secret_value() == ""
    (tmp_path / ".env").write_text("DISCORD_TOKEN=from-the-file\nSOMETHING_ELSE=1\n", encoding="utf-8")
    assert Secrets().discord_token.get_secret_value() == "from-the-file"
    monkeypatch.setenv("DISCORD_TOKEN", "from-the-environment")
    assert Secrets().discord_token.get_secret_value() == "from-the-environment"
    assert "from-the" not in repr(Secrets()) + str(Secrets())


def test_the_settings_for_a_cpu_load_and_change_only_what_a_cpu_needs() -> None:
    shipped, cpu = load_settings(SHIPPED), load_settings(SHIPPED.with_name("config.cpu.toml"))
    changed = {name for name in type(cpu).model_fields if getattr(cpu, name) != getattr(shipped, name)}
    assert changed == {"model", "dataset", "training"}
    assert cpu.model.base == "models/base/SmolLM2-135M-Instruct"
    assert cpu.policy == shipped.policy


@pytest.mark.parametrize(
    "line",
    [
        *("[dataset]\ngap_minutes = inf", "[dataset]\nhalf_life_days = nan", "[bot]\ntop_p = nan"),
        *("[training]\nlearning_rate = inf", '[training]\nepochs = "3"', "[dataset]\nmax_messages = true"),
        *("[retention]\nadapter_days = 99999999999999", '[bot]\nname = " "', '[bot]\nname = "a\\nb"'),
        *('[paths]\ndata = ""', '[engine]\nurl = "localhost:8000"', '[engine]\nurl = "http://box/v1"'),
        *('[schedule]\ntimezone = ""', '[schedule]\ntimezone = "../../etc/passwd"', "[privacy]\nscrub = 1"),
    ],
)
def test_a_value_that_nobody_meant_is_refused_by_its_name(tmp_path: Path, line: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(line, encoding="utf-8")
    section, field = line.split("]")[0][1:], line.split("\n")[1].split(" ")[0]
    with pytest.raises(ConfigurationError) as refused:
        load_settings(path)
    assert list(refused.value.problems) == [f"{section}.{field}"]


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbf" + b'[bot]\nname = "Owl"\n')
    assert load_settings(path).bot.name == "Owl"
