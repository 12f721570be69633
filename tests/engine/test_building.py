"""Building the engine: settings become parts in one file, and the rest of the ledger stays outside."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from engine.building import peaks_for
from engine.computing import eight_bit
from ledger.errors import ModelError
from tests.engine.computing.test_lean_llama import llama
from tests.test_house import ROOT, code_of

READS_SETTINGS = {"engine/__main__.py", "engine/building.py"}
FROM_THE_LEDGER = {
    "ledger.errors",
    "ledger.learned.version_names",  # the form of a version's name, which says who owns it
    "ledger.process.extras",
    "ledger.process.seclusion",
    "ledger.process.terminal",
    "ledger.settings",
}


def ledger_imports() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in code_of("engine"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        found[path.relative_to(ROOT).as_posix()] = {m for m in modules if m.split(".")[0] == "ledger"}
    return found


def test_settings_stop_where_the_engine_is_built() -> None:
    assert {
        file for file, modules in ledger_imports().items() if "ledger.settings" in modules
    } == READS_SETTINGS


def test_the_engine_knows_of_the_ledger_no_more_than_it_says() -> None:
    assert set().union(*ledger_imports().values()) <= FROM_THE_LEDGER


class Letters:
    """Each letter is a token."""

    def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) % 64 for letter in text]}


@pytest.mark.skipif(not eight_bit.available(), reason="this processor has no products in 8 bits")
def test_a_cpu_without_bf16_serves_in_8_bits_unless_told_otherwise() -> None:
    tokenizer: Any = Letters()
    assert peaks_for(llama(), tokenizer, "auto") is not None
    assert peaks_for(llama(), tokenizer, "full") is None
    assert peaks_for(llama().to(torch.bfloat16), tokenizer, "auto") is None


def test_what_has_no_form_in_8_bits_is_refused_in_a_sentence() -> None:
    other = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=1, n_head=2)).eval()
    tokenizer: Any = Letters()
    assert peaks_for(other, tokenizer, "auto") is None
    with pytest.raises(ModelError, match="8bit"):
        peaks_for(other, tokenizer, "8bit")
