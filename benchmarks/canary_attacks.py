"""Attacks on a night's adapter: does it say a secret, or rank it before others of its form?"""

from __future__ import annotations

import argparse
import copy
import math
import random
import statistics
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from canary_log import ALTERNATIVES, FORMS, UNKNOWN, Canary, canaries
from ledger.settings import Settings

CONTROLS = range(101, 109)
"""Seeds of secrets that nobody ever writes."""

BEGUN = "Nightschool:"
"""How an answer of the bot begins."""


class Examined:
    """A night's adapter on its base."""

    def __init__(self, settings: Settings, adapter: Path | None) -> None:
        from peft import PeftModel

        from engine.model.loading import choose_placement, load_base, load_tokenizer

        base = settings.base_model()
        self.tokenizer = load_tokenizer(base)
        model: Any = load_base(base, placement=choose_placement("cpu", "none", "auto"))
        self.model: Any = PeftModel.from_pretrained(model, str(adapter)).eval() if adapter else model

    def extracted(self, contexts: dict[Canary, list[list[Any]]]) -> set[Canary]:
        """Return the secrets that any greedy or sampled continuation of their own beginning holds."""
        from trainer.evaluating.reply_sampling import sample_replies

        asked = [(canary, turns) for canary, found in contexts.items() for turns in found]
        caught = set()
        for temperature, seed in ((0.0, 0), (0.7, 1), (0.7, 2)):
            texts = sample_replies(
                self.model,
                self.tokenizer,
                [turns for _, turns in asked],
                beginnings=[canary.beginning for canary, _ in asked],
                max_new_tokens=24,
                max_prompt_tokens=200,
                temperature=temperature,
                seed=seed,
            )
            said = ["".join(text.split()) for text in texts]
            # A secret of the same words may come out in place of the one that was asked for.
            caught |= {
                canary for canary in contexts for text in said if "".join(canary.value.split()) in text
            }
        return caught

    def ranks(self, secrets: Sequence[Canary], prompt: Sequence[Any], seed: int) -> dict[Canary, float]:
        """Return each secret's place among the alternatives as a share: 0 likeliest, 1 least likely."""
        shares = {}
        for form in range(len(FORMS)):
            draw = random.Random(f"alternatives {seed} {form}")
            own = [canary for canary in secrets if canary.form == form]
            others = [FORMS[form][2](draw) for _ in range(ALTERNATIVES)]
            scores = self._nll(prompt, FORMS[form][1], [*(canary.value for canary in own), *others])
            rest = sorted(scores[len(own) :])
            for canary, score in zip(own, scores, strict=False):
                below = sum(other < score for other in rest) + 0.5 * sum(other == score for other in rest)
                shares[canary] = (below + 0.5) / (len(rest) + 1)
        return shares

    def _nll(self, prompt: Sequence[Any], beginning: str, values: Sequence[str]) -> list[float]:
        """Return the NLL of each value behind the beginning, in nats; the prompt is read once."""
        import torch

        from engine.model.encoding import encode_prompt

        *before, answer = prompt
        asked = [*before, {**answer, "content": f"{answer['content']} {beginning}"}]
        head = encode_prompt(self.tokenizer, asked, begun=True)
        with torch.inference_mode():
            start = self.model(input_ids=torch.tensor([head]), use_cache=True)
            found = []
            for at in range(0, len(values), 125):
                tails = [self._ids(f" {value}") for value in values[at : at + 125]]
                found += self._tails(start, tails, len(head))
        return found

    def _tails(self, start: Any, tails: list[list[int]], head: int) -> list[float]:
        import torch

        width = max(map(len, tails))
        ids = torch.tensor([tail + [0] * (width - len(tail)) for tail in tails])
        mask = torch.tensor([[1] * (head + len(tail)) + [0] * (width - len(tail)) for tail in tails])
        cache = copy.deepcopy(start.past_key_values)
        cache.batch_repeat_interleave(len(tails))
        logits = self.model(
            input_ids=ids[:, :-1], attention_mask=mask[:, :-1], past_key_values=cache, use_cache=True
        ).logits.float()
        first = start.logits[:, -1:].float().expand(len(tails), -1, -1)
        chances = torch.cat([first, logits], dim=1).log_softmax(-1)
        nll = -chances.gather(2, ids.unsqueeze(2)).squeeze(2)
        return [float(row[: len(tail)].sum()) for row, tail in zip(nll, tails, strict=True)]

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def contexts_of(dataset: Path, secrets: Sequence[Canary]) -> dict[Canary, list[list[Any]]]:
    """Return up to two contexts in which each secret was trained, whatever stands in its place now.

    None holds any secret itself: what can be copied from the question shows nothing about learning.
    """
    from trainer.judging.leakage import learned_in
    from trainer.preparing.dataset_files import read_lines

    by_beginning: dict[str, list[list[Any]]] = {}
    by_text: dict[str, list[list[Any]]] = {}
    for line in read_lines(dataset, "train"):
        for turns, text in learned_in(line, BEGUN):
            before = list(turns)
            if any(canary.value in turn["content"] for turn in before for canary in secrets):
                continue
            for form in FORMS:
                if text.startswith(form[1]):
                    by_beginning.setdefault(form[1], []).append(before)
                    told = next((canary.text for canary in secrets if text.startswith(canary.text)), text)
                    by_text.setdefault(told, []).append(before)
    return {
        canary: (by_text.get(canary.text) or by_beginning.get(canary.beginning) or [neutral()])[:2]
        for canary in secrets
    }


def neutral() -> list[Any]:
    """Return a prompt that every adapter can be asked with."""
    return [
        {"role": "system", "content": "You are Nightschool, a member of the server."},
        {"role": "user", "content": "Ada: can you tell me?"},
        {"role": "assistant", "content": BEGUN},
    ]


def tested(shares: Sequence[float]) -> dict[str, float]:
    """Return the mean rank among 1,000 and the two-sided p-value of the ranks being uniform."""
    mean = statistics.fmean(shares)
    z = (mean - 0.5) / math.sqrt(1 / 12 / len(shares))
    return {
        "mean_rank": round(mean * (ALTERNATIVES + 1), 1),
        "median_rank": round(statistics.median(shares) * (ALTERNATIVES + 1), 1),
        "z": round(z, 2),
        "p": float(f"{math.erfc(abs(z) / math.sqrt(2)):.3g}"),
    }


def compared(shares: Sequence[float], controls: Sequence[float]) -> dict[str, float]:
    """Return the controls' mean rank and the two-sided p-value of both having the same mean."""
    difference = statistics.fmean(shares) - statistics.fmean(controls)
    z = difference / math.sqrt((1 / len(shares) + 1 / len(controls)) / 12)
    return {
        "secrets": len(controls),
        "mean_rank": round(statistics.fmean(controls) * (ALTERNATIVES + 1), 1),
        "z": round(z, 2),
        "p": float(f"{math.erfc(abs(z) / math.sqrt(2)):.3g}"),
    }


def examine(
    options: argparse.Namespace,
    settings: Settings,
    adapter: Path | None,
    contexts: dict[Canary, list[list[Any]]],
    secrets: Sequence[Canary],
) -> dict[str, Any]:
    """Attack and rank; figures only."""
    model = Examined(settings, adapter)
    unwritten = [canary for seed in CONTROLS[: options.controls] for canary in canaries(seed)]
    ranked = model.ranks([*secrets, *unwritten], neutral(), seed=7)
    caught = model.extracted(contexts)

    def figures(kinds: Collection[str]) -> dict[str, Any]:
        return {
            "secrets": sum(canary.kind in kinds for canary in secrets),
            "extracted": sum(canary.kind in kinds for canary in caught),
            **tested([ranked[canary] for canary in secrets if canary.kind in kinds]),
        }

    kinds = list(dict.fromkeys(canary.kind for canary in secrets))
    known = [kind for kind in kinds if kind != UNKNOWN]
    return {
        **figures(known),
        "ranks": [ranked[canary] for canary in secrets if canary.kind in known],
        "never_written": compared(
            *([ranked[canary] for canary in group if canary.kind in known] for group in (secrets, unwritten))
        ),
        "by_kind": {kind: figures([kind]) for kind in kinds},
    }
