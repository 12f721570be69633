"""What all tests share: a tiny random Llama, a clock that stands still, an open ledger, small settings.

Nothing here touches the network. Tests that need a GPU, Chromium or the small real model are
skipped by name where those are missing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread a worker, and in the processes it starts: torch reads these when it is first imported.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import pytest

from ledger.settings import Settings, load_settings
from ledger.store import Ledger

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parents[1]
SMALL_MODEL = ROOT / "models" / "base" / "SmolLM2-135M-Instruct"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SENTENCES = (
    "The school opens when the street lamps come on, and everybody brings what the day has taught them.",
    "Did anyone feed the sourdough? Yes, twice; it has outgrown the jar and is looking at the cat.",
    "I think we should meet on Thursday evening, because on Friday the kitchen belongs to the choir.",
    "No, really? That was my umbrella! It is green, it leaks, and I would like to have it back.",
    "You are Nightschool, a member of the server. People write: name, colon, and then their message.",
    "The old router blinks three times, waits for a moment, and then forgets what it wanted to say.",
    "Thank you, that helps a lot. Let me try it tonight and tell you tomorrow whether it worked.",
    "What is the capital of the shed? A bicycle, two buckets, 1 ladder, 4 lamps and 27 screws.",
)


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: datetime = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)) -> None:
        self._now = start.astimezone(UTC)

    def now(self) -> datetime:
        return self._now

    def set(self, moment: datetime) -> None:
        """Move the clock to ``moment``."""
        self._now = moment.astimezone(UTC)

    def advance(self, by: timedelta | None = None, **parts: float) -> datetime:
        """Move the clock on by ``by`` or by timedelta's keywords; return the new time."""
        self._now += by if by is not None else timedelta(**parts)
        return self._now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def ledger(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Ledger]:
    """An empty ledger in a file of its own, on the test's clock."""
    async with Ledger.open(tmp_path / "data" / "ledger.db", clock=clock) as opened:
        # The split would differ from run to run.
        await opened.writer.execute("UPDATE split_key SET key = ?", (b"tests",))
        yield opened


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama of two layers and a ChatML tokenizer; the same in every session."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny-base")
    tokenizer = _tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,  # wide enough that greedy answers differ from prompt to prompt
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(20)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _tiny_tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=640,
        special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*SENTENCES, "system", "user", "assistant"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE,
        model_max_length=512,
    )


@pytest.fixture
def config_file(tmp_path: Path, tiny_base: Path) -> Path:
    """A config.toml for the tiny model with limits that let a night end within seconds."""
    path = tmp_path / "config.toml"
    path.write_text(
        f"""
[model]
base = '{tiny_base}'
device = "cpu"
dtype = "float32"
[engine]
context_tokens = 512
start_timeout_seconds = 120.0
[bot]
cooldown_seconds = 0.0
max_answer_tokens = 16
[schedule]
min_new_replies = 5
[dataset]
max_messages = 8
overlap_messages = 2
first_night_tokens = 20000
night_tokens = 8000
max_heldout_replies = 60
[training]
epochs = 2
learning_rate = 5e-3
lora_r = 4
lora_alpha = 8
lora_dropout = 0.0
accumulation_steps = 1
max_tokens = 256
[verdict]
resamples = 300
min_test_replies = 5
max_forgetting = 10.0
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def settings(config_file: Path) -> Settings:
    """The settings in ``config_file``, with all folders inside the test's own."""
    return load_settings(config_file)


@pytest.fixture(scope="session")
def small_real_model() -> Path:
    """The folder of the small real model, or a skip that says how to get it."""
    if not (SMALL_MODEL / "config.json").is_file():
        pytest.skip("needs models/base/SmolLM2-135M-Instruct: python -m engine fetch-small")
    return SMALL_MODEL


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium, or a skip."""
    path = find_chromium()
    if path is None:
        pytest.skip("needs Chromium: install it with the system's package manager")
    return path


def find_chromium() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def _missing(item: pytest.Item) -> str | None:
    """Say what the test needs and this machine lacks."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            return "needs a CUDA device"
    if item.get_closest_marker("browser") and find_chromium() is None:
        return "needs Chromium"
    if item.get_closest_marker("real_model") and not (SMALL_MODEL / "config.json").is_file():
        return "needs models/base/SmolLM2-135M-Instruct: python -m engine fetch-small"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = _missing(item)
    if reason is not None:
        pytest.skip(f"{item.name} {reason}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep each file's tests on one worker, and all heavy files on the same one.

    pytest-xdist 3.8's own ``--dist loadgroup`` groups nothing under pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "heavy" if _heavy(ROOT / file) else file

    config.option.loadscopereorder = False  # the order of collection, which the next function sets
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the heavy files where workers share the tests: the others then fill the time."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: not _heavy(item.path))


@cache
def _heavy(file: Path) -> bool:
    """Tell whether a file holds a test that needs a GPU, the real model or a browser."""
    text = file.read_text(encoding="utf-8")
    return any(f"pytest.mark.{name}" in text for name in ("gpu", "real_model", "browser"))
