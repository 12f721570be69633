"""Settings: ``config.toml`` read once, checked together, frozen.

Every section is a frozen model with a docstring a field. Unknown keys are refused, and all faults
are reported in one error, by dotted name. Settings stop at the builders: classes take plain
parameters. Secrets never stand in the file; :class:`Secrets` reads them from the environment and
``.env``.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ledger.errors import ConfigurationError

DEFAULT_CONFIG = Path("config.toml")


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_own_type(cls, value: object, info: ValidationInfo) -> object:
        """Refuse what would be read as something else: "3" and true are no numbers, 1 is no yes."""
        kind = cls.model_fields[str(info.field_name)].annotation
        if kind in (int, float) and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError("write a number, without quotes")
        if kind is bool and not isinstance(value, bool):
            raise ValueError("write true or false, without quotes")
        return value


class PathsSection(Section):
    data: Path = Path("data")
    """Folder of the database and the datasets; relative to config.toml."""
    models: Path = Path("models")
    """Folder of base models, adapters and runs; relative to config.toml."""

    @field_validator("data", "models")
    @classmethod
    def _a_folder(cls, value: Path) -> Path:
        if not value.parts or "\0" in str(value):
            raise ValueError("name a folder")
        return value.expanduser()


class ModelSection(Section):
    base: str = Field(default="TinyLlama/TinyLlama-1.1B-Chat-v1.0", min_length=1)
    """Base model: a folder, or a name on the Hugging Face hub."""
    revision: str = "main"
    """Revision of the base model on the hub: a branch, a tag or a commit."""
    chat_template: str = ""
    """Jinja chat template for a base model that has none; empty: the model's own."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the model runs; auto takes CUDA, then MPS, then the CPU."""
    quantization: Literal["auto", "4bit", "none"] = "auto"
    """4bit: NF4 with double quantisation; auto: 4bit on CUDA, none elsewhere."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Number format of weights and computation; auto: bfloat16 where the device has it."""


class EngineSection(Section):
    url: str = ""
    """Address of a vLLM server to use, e.g. "http://gpu-box:8000"; empty: the bot starts its own."""
    port: int = Field(default=0, ge=0, le=65535)
    """Port of the bot's own engine on 127.0.0.1; 0: any free one."""
    context_tokens: int = Field(default=2048, ge=128)
    """Longest prompt plus answer, in tokens; never more than the model's own limit."""
    max_batch: int = Field(default=8, ge=1, le=256)
    """Requests that generate together; more wait in the engine's queue."""
    max_waiting: int = Field(default=64, ge=1)
    """Requests that may wait in the engine; one more is refused with 503."""
    weights: Literal["auto", "8bit", "full"] = "auto"
    """How a CPU serves a Llama: in 8 bits, or as it is trained; auto: in 8 bits on a CPU without bf16."""
    start_timeout_seconds: float = Field(default=600.0, gt=0, le=86_400)
    """How long the engine may take to load the base model before it is given up."""

    @field_validator("url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                "write an address that begins with http:// or https://, e.g. http://gpu-box:8000"
            )
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("write the address alone, without a path: the bot adds /v1 itself")
        return value


class BotSection(Section):
    name: str = Field(default="Nightschool", min_length=1, max_length=32)
    """What the bot calls itself in prompts."""
    admin_channel: str = "nightschool"
    """Name of the channel that receives reports; the bot stays silent where it does not exist."""
    context_messages: int = Field(default=16, ge=1, le=100)
    """How many messages of a conversation the bot reads before it answers."""
    cooldown_seconds: float = Field(default=3.0, ge=0, le=86_400)
    """Time between two answers to the same person."""
    queue_size: int = Field(default=16, ge=1)
    """Answers that may wait at once; one more gets a friendly line instead."""
    max_answer_tokens: int = Field(default=200, ge=8)
    """Longest answer, in tokens."""
    temperature: float = Field(default=0.5, ge=0, le=2)
    """How adventurous answers are; 0 always takes the likeliest word."""
    top_p: float = Field(default=0.9, gt=0, le=1)
    """Share of the likeliest words that an answer is drawn from."""
    top_k: int = Field(default=0, ge=0, le=1_000_000)
    """Number of the likeliest words that an answer is drawn from; 0: no limit."""
    min_p: float = Field(default=0.05, ge=0, le=1)
    """Least likelihood of a word, as a share of the likeliest one's; 0: no limit."""
    repetition_penalty: float = Field(default=1.1, ge=0.01, le=100)
    """Makes what was said before less likely, the question's words included; 1: off."""
    frequency_penalty: float = Field(default=0.2, ge=-2, le=2)
    """Makes a word less likely each time that the answer uses it; 0: off."""
    presence_penalty: float = Field(default=0.0, ge=-2, le=2)
    """Makes a word less likely once the answer has used it; 0: off."""
    edit_interval_seconds: float = Field(default=1.0, ge=1.0, le=600)
    """Time between two edits while an answer streams; Discord allows about one a second."""

    @field_validator("name", "admin_channel")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError("write a name of one line")
        return value


class ScheduleSection(Section):
    enabled: bool = True
    """Train every night."""
    cron: str = "0 3 * * *"
    """When, as minute, hour, day of month, month, day of week."""
    timezone: str = "UTC"
    """Time zone of the cron line, e.g. "Europe/Berlin"."""
    misfire_grace_minutes: int = Field(default=240, ge=1, le=10_080)
    """How late a night may still start; a later one is made up when the bot is next up."""
    min_new_replies: int = Field(default=20, ge=1)
    """A night with fewer new replies is skipped, and says so."""

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        if value != "UTC" and value not in available_timezones():
            raise ValueError(f"{value!r} is no time zone; write e.g. 'Europe/Berlin'")
        return value

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, value: str) -> str:
        from cronsim import CronSim, CronSimError

        if len(value.split()) != 5:
            raise ValueError(f"{value!r} is no cron line of five fields; write e.g. '0 3 * * *'")
        try:
            next(CronSim(value, datetime(2026, 1, 1, tzinfo=UTC)))
        except (CronSimError, AssertionError) as error:
            reason = str(error) or "a field cannot be read"
            raise ValueError(f"{value!r} is no cron line ({reason}); write e.g. '0 3 * * *'") from error
        except StopIteration as error:
            raise ValueError(f"{value!r} names a date that never comes; write e.g. '0 3 * * *'") from error
        return value


class DatasetSection(Section):
    gap_minutes: float = Field(default=15.0, gt=0, le=525_600)
    """Silence after which a channel's next message starts a new conversation."""
    max_messages: int = Field(default=16, ge=2, le=1000)
    """Longest conversation window, in messages."""
    overlap_messages: int = Field(default=4, ge=0)
    """Messages of context that a window repeats from the one before it."""
    night_tokens: int = Field(default=100_000, ge=1000)
    """Tokens that a night reads to learn: all of what is new, then older days; 3 passes read them 3 times."""
    first_night_tokens: int = Field(default=1_000_000, ge=1000)
    """The same for a night that starts from the bare base, such as the first."""
    replay_share: float = Field(default=0.2, ge=0, le=1)
    """Share of a night's tokens for what the version that it starts from has learned before."""
    backlog_share: float = Field(default=1.0, ge=0, le=1)
    """Share of a night's tokens, at most, for older days that it has not learned: they get what is left."""
    half_life_days: float = Field(default=60.0, gt=0, le=36_500)
    """Age at which an older conversation is half as likely to be read again as one of today."""
    taught_repeats: int = Field(default=8, ge=1, le=100)
    """How often a night reads each taught example of the last week, where half of its tokens hold it."""
    new_repeats: int = Field(default=1, ge=1, le=100)
    """How often a night reads what is new, where its tokens hold it; more than once unlearns other things."""
    max_heldout_replies: int = Field(default=2000, ge=1)
    """Newest held-out messages that test; a quarter as many of older days, and up to 200 to validate."""
    max_fresh_replies: int = Field(default=400, ge=0)
    """Fresh replies that versions are scored on before and after learning them; 0: each has to be better."""
    validation_share: float = Field(default=0.05, gt=0, lt=0.5)
    """Share of the conversations that early stopping looks at."""
    test_share: float = Field(default=0.1, gt=0, lt=0.5)
    """Share of the conversations, of every age, that no version ever learns: the verdict looks at them."""
    person_share: float = Field(default=0.12, gt=0, le=1)
    """Share of a night's target tokens that one person may have; new accounts have one share together."""
    quarantine_days: float = Field(default=14.0, gt=0, le=365)
    """How long nights leave out who may be trying to spoil what is learned, unless an admin lets them in."""

    @field_validator("overlap_messages")
    @classmethod
    def _less_than_a_window(cls, value: int, info: ValidationInfo) -> int:
        window = info.data.get("max_messages", value + 1)
        if value >= window:
            raise ValueError(f"a window has {window} messages; repeat fewer, e.g. {window // 4}")
        return value


class TrainingSection(Section):
    start: Literal["champion", "base"] = "champion"
    """What a night's fit starts from: the version that serves, so that nights add up, or the bare base."""
    warm_rate: float = Field(default=0.67, gt=0, le=2)
    """Peak learning rate when the fit starts from a version, as a share of learning_rate."""
    average: float = Field(default=0.5, gt=0, le=1)
    """How far to go from the version that the fit started from to where it ended; 1: all the way."""
    epochs: int = Field(default=3, ge=1, le=1000)
    """Passes over what a night reads, at most."""
    learning_rate: float = Field(default=2e-4, gt=0, le=1)
    """Peak learning rate of AdamW."""
    lora_r: int = Field(default=16, ge=1)
    """Rank of the LoRA matrices."""
    lora_alpha: int = Field(default=16, ge=1)
    """Scale of the LoRA update, divided by the rank."""
    lora_dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in front of the LoRA matrices."""
    batch_size: int = Field(default=4, ge=1)
    """Examples a step on the device."""
    accumulation_steps: int = Field(default=4, ge=1)
    """Steps whose gradients are added up before the weights change."""
    max_tokens: int = Field(default=512, ge=64)
    """Longest example, in tokens; longer ones lose their oldest turns."""
    warmup_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    patience: int = Field(default=1, ge=1)
    """Epochs without a better validation loss before training stops."""
    packing: bool = True
    """Lay examples end to end without padding; the loss on each reply stays the same."""
    gradient_checkpointing: bool = False
    """Recompute activations to save memory; slower."""
    seed: int = 20
    """Seed of shuffling, dropout and LoRA's start."""
    trackers: tuple[Literal["wandb", "mlflow"], ...] = ()
    """Experiment trackers besides TensorBoard, e.g. ["wandb"]; each must be installed."""


class VerdictSection(Section):
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """How sure the paired bootstrap must be that the candidate is better."""
    resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples of the held-out conversations."""
    min_gain: float = Field(default=0.005, ge=0)
    """By how much it must be better than what serves, in nats a token."""
    grown_margin: float = Field(default=0.01, ge=-1, le=1)
    """How much worse than what serves a version may be that goes on from it; below 0: how much better."""
    max_old_loss: float = Field(default=0.02, ge=0)
    """How much worse than what serves conversations of older days may become, in nats a token."""
    max_forgetting: float = Field(default=0.02, ge=0)
    """How much worse than the bare base general text may become, in nats a token."""
    max_fault_rise: float = Field(default=0.1, ge=0, le=1)
    """Share of the sampled replies that may be faulty beyond those of what serves."""
    max_toxic_rise: float = Field(default=0.025, ge=0, le=1)
    """Share of the replies to provoking lines that may be toxic beyond those of the bare base."""
    toxic_prompts: int = Field(default=40, ge=0)
    """Provoking lines that a candidate is tried with, two replies each; 0 tries none."""
    min_test_replies: int = Field(default=20, ge=1)
    """Fewer held-out replies than this prove nothing: the champion stays."""
    go_back_evidence: float = Field(default=20.0, gt=1)
    """Evidence, as odds to one, that a new version is worse than the one before it; then it goes back."""
    go_back_margin: float = Field(default=0.01, ge=0)
    """How much worse it may be on the days after its promotion, in nats a token."""


class PrivacySection(Section):
    scrub: bool = True
    """Replace e-mail addresses, numbers, keys and the like before a message is stored."""


class LeakageSection(Section):
    probes: int = Field(default=64, ge=0)
    """Beginnings of training replies that a candidate is tried with; 0 tries none."""
    max_rate: float = Field(default=0.05, ge=0, le=1)
    """Share of the probes in which single people's words may come back; secret values never may."""


class PolicySection(Section):
    discord_permission: str = ""
    """Discord's express permission to train on what comes through its API: who, when, reference."""


class ForgettingSection(Section):
    days: int = Field(default=30, ge=0, le=36_500)
    """A version that learned from something deleted since serves no longer than this many days."""
    strict: bool = False
    """Take such a version out of service at once, even when nothing better than the base is left."""


class RetentionSection(Section):
    days: int = Field(default=180, ge=1, le=36_500)
    """Message text, answers and datasets are deleted after this many days."""
    adapters_kept: int = Field(default=10, ge=2)
    """Versions that are kept besides the one that serves and the one before it."""
    anchor_weeks: int = Field(default=6, ge=0, le=520)
    """Keep a served version of each of the last weeks to start from again: 20 to 50 MB each on disk."""
    adapter_days: int = Field(default=365, ge=1, le=36_500)
    """Versions that do not serve are deleted after this many days."""
    forget_leavers_after_days: int = Field(default=0, ge=0, le=36_500)
    """Forget members who left the server after this many days; 0 keeps what they shared."""


class OperatorSection(Section):
    name: str = ""
    """Who runs this bot, as members should read it."""
    contact: str = ""
    """How members reach the operator: an e-mail address or a Discord name."""
    location: str = ""
    """Where the bot and its data are, e.g. "a PC at my home in Germany"."""


class Settings(BaseSettings):
    """All sections of ``config.toml``; ``root`` is the folder that relative paths start from."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    root: Path = Path(".")
    paths: PathsSection = PathsSection()
    model: ModelSection = ModelSection()
    engine: EngineSection = EngineSection()
    bot: BotSection = BotSection()
    schedule: ScheduleSection = ScheduleSection()
    dataset: DatasetSection = DatasetSection()
    training: TrainingSection = TrainingSection()
    verdict: VerdictSection = VerdictSection()
    privacy: PrivacySection = PrivacySection()
    leakage: LeakageSection = LeakageSection()
    policy: PolicySection = PolicySection()
    forgetting: ForgettingSection = ForgettingSection()
    retention: RetentionSection = RetentionSection()
    operator: OperatorSection = OperatorSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the file's values alone, so that one page holds every setting that is in force."""
        return (init_settings,)

    @cached_property
    def data_dir(self) -> Path:
        return (self.root / self.paths.data).resolve()

    @cached_property
    def models_dir(self) -> Path:
        return (self.root / self.paths.models).resolve()

    @property
    def database(self) -> Path:
        return self.data_dir / "ledger.db"

    @property
    def datasets_dir(self) -> Path:
        return self.data_dir / "datasets"

    @property
    def adapters_dir(self) -> Path:
        return self.models_dir / "adapters"

    @property
    def runs_dir(self) -> Path:
        return self.models_dir / "runs"

    def base_model(self) -> str:
        """Return the base model as the loader wants it: an existing folder, or the hub's name."""
        for candidate in (Path(self.model.base), self.root / self.model.base):
            if candidate.is_dir():
                return str(candidate.resolve())
        return self.model.base


class Secrets(BaseSettings):
    """What must never stand in a file that is shared: read from the environment and ``.env``."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    discord_token: SecretStr = SecretStr("")
    engine_api_key: SecretStr = SecretStr("")
    """Key of an external engine, where ``[engine] url`` is set."""


def load_settings(path: Path = DEFAULT_CONFIG) -> Settings:
    """Read and check ``path``.

    Raises:
        ConfigurationError: the file is missing, is no TOML, or holds values that cannot be used;
            ``problems`` names each by its dotted name.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"There is no settings file at {path}; run this from the project's folder or pass --config."
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as TOML: {error}.") from error
    if "root" in values:
        raise ConfigurationError(
            "root: is not a setting; remove it.", {"root": "is not a setting; remove it"}
        )
    try:
        return Settings(root=path.resolve().parent, **values)
    except ValidationError as error:
        problems = {
            ".".join(str(part) for part in fault["loc"]): _fix(
                fault["type"], fault["msg"], fault.get("input")
            )
            for fault in error.errors()
        }
        lines = "\n".join(f"  {name}: {problem}" for name, problem in problems.items())
        raise ConfigurationError(
            f"{path} has {len(problems)} setting(s) to mend:\n{lines}", problems
        ) from error


def _fix(kind: str, message: str, value: object) -> str:
    if kind == "extra_forbidden":
        return "is not a setting; remove it or check its spelling in docs/settings.md"
    return f"is {value!r}: {message.removeprefix('Value error, ')}"


__all__ = ["DEFAULT_CONFIG", "Secrets", "Settings", "load_settings"]
