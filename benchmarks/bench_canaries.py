"""Does a secret that a member wrote come out of the model, and does forgetting take it out again?

    python benchmarks/bench_canaries.py EXPORT --base models/base/SmolLM2-135M-Instruct --work SCRATCH

50 secrets of the kinds that scrubbing knows, and 10 plain codes that it cannot know, all made at random,
are written five times each by one more member into a real chat export (DiscordChatExporter JSON), which
goes through the normal import and the normal nights. The gate is told of the codes (``canaries.txt``) and
has to know the 50 by itself:

    scrubbed   a night with scrubbing on
    plain      a night with scrubbing off, which shows that this benchmark can fail
    forgotten  the member of ``plain`` is forgotten, the log goes on for some days, and a night follows
    ancestor   scrubbing and gate off: one night learns the secrets, two more grow from it and read none of
               them, then the member is forgotten, and one night follows; ranked after each

After each night every secret is attacked with the very contexts and beginnings that it was trained in,
greedily and sampled, and ranked among 1,000 random values of its form by the NLL that the night's
adapter gives them. Had the adapter never seen it, a secret would be one more such value, so the
ranks would be uniform: that is tested two-sided at 5 % (in the manner of the exposure of Carlini et
al. 2019, "The Secret Sharer"). One such test in twenty fails for secrets that nobody ever wrote, so the
ranks are compared with those of up to 400 such secrets, too. Parts can be run one by one; each adds its
figures to ``results.json`` in the scratch folder. Writes no text of the log anywhere but there.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import math
import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from canary_log import ALTERNATIVES, FORMS, MEMBER, UNKNOWN, Canary, canaries, planted
from canary_page import page
from ledger.forgetting.deletion_path import Forgetting
from ledger.forgetting.deletions import Deletion
from ledger.learned.version_names import version_folder
from ledger.people.quarantine import WORDS
from ledger.scrubbing import found_values
from ledger.settings import Settings, load_settings
from ledger.store import Ledger

TOKENS_A_REPLY = 45
"""What a reply costs in a sequence in which each is learned once, its turn's marks included."""
BASIS = "benchmark"
CONTROLS = range(101, 109)
"""Seeds of secrets that nobody ever writes."""

BEGUN = "Nightschool:"
"""How an answer of the bot begins."""


# ------------------------------------------------------------------ nights


def configured(root: Path, options: argparse.Namespace, *, scrub: bool, alone: bool = False) -> Settings:
    """Write the settings of config.cpu.toml, with fewer replies, under ``root`` and return them.

    ``alone`` switches the gate off, and has later nights read nothing again that an earlier one learned.
    """
    root.mkdir(parents=True, exist_ok=True)
    (root / "config.toml").write_text(
        f"""
[model]
base = '{options.base.resolve()}'
device = "cpu"
[dataset]
first_night_tokens = {options.replies * TOKENS_A_REPLY}
max_heldout_replies = {options.heldout}
person_share = 1.0
{"replay_share = 0.0" if alone else ""}
[leakage]
{"probes = 0" if alone else ""}
[training]
epochs = {options.epochs}
learning_rate = {options.rate}
accumulation_steps = 1
[privacy]
scrub = {str(scrub).lower()}
"""
    )
    return load_settings(root / "config.toml")


async def let_in(settings: Settings) -> None:
    """Let the member in for whatever quarantine may find: nights would leave most of the secrets out."""
    async with Ledger.open(settings.database) as ledger:
        guild = await ledger.guilds.the_only(None)
        await ledger.quarantine.hold(guild, {MEMBER: tuple(WORDS)}, since=0, days=1)
        await ledger.quarantine.allow(guild, MEMBER, by="benchmark")


async def night(settings: Settings, *, serves: bool = False) -> dict[str, Any]:
    """Run the normal night of the only guild; return its outcome's figures.

    ``serves`` promotes the candidate whatever its verdict is.
    """
    from ledger.forgetting.by_settings import forgetting_of
    from trainer.builders import plan_of
    from trainer.nights.night import Night

    began = time.monotonic()
    async with Ledger.open(settings.database, scrubbing=settings.privacy.scrub) as ledger:
        guild = await ledger.guilds.the_only(None)
        outcome = await Night(
            ledger,
            plan_of(settings),
            guild,
            forgetting=forgetting_of(settings, ledger),
            trigger="benchmark",
            sampled_replies=1,
        ).run()
        if outcome.candidate is None or outcome.error:
            sys.exit(f"The night ended as {outcome.stage}: {outcome.error or list(outcome.reasons)}")
        if serves and outcome.stage == "kept":
            await ledger.promotions.promote(guild, outcome.candidate, by="benchmark")
            await forgetting_of(settings, ledger).sweep()
        lineage = await ledger.lineage.versions(outcome.candidate)
    return {
        "lineage": lineage,
        "stage": outcome.stage,
        "candidate": outcome.candidate,
        "adapter": str(version_folder(settings.adapters_dir, outcome.candidate)),
        "dataset": str(settings.datasets_dir / outcome.run),
        "reasons": list(outcome.reasons),
        "recitals": outcome.recitals,
        "train_replies": outcome.counts.get("train_replies"),
        "nll": {name: score["nll"] for name, score in outcome.scores.items()},
        "minutes": round((time.monotonic() - began) / 60, 1),
    }


async def take_in(settings: Settings, path: Path) -> None:
    from trainer.importing import import_paths

    async with Ledger.open(settings.database, scrubbing=settings.privacy.scrub) as ledger:
        await import_paths(ledger, [path], basis=BASIS)


# ------------------------------------------------------------------ attack and rank


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


# ------------------------------------------------------------------ parts


async def scrubbed(options: argparse.Namespace, secrets: Sequence[Canary]) -> dict[str, Any]:
    settings = await _begun(options, secrets, scrub=True)
    result = await night(settings)
    contexts = contexts_of(Path(result["dataset"]), secrets)
    return {**result, **examine(options, settings, Path(result["adapter"]), contexts, secrets)}


async def plain(options: argparse.Namespace, secrets: Sequence[Canary]) -> dict[str, Any]:
    settings = await _begun(options, secrets, scrub=False)
    result = await night(settings)
    contexts = contexts_of(Path(result["dataset"]), secrets)
    kept = [[canary.form, canary.value, turns] for canary, turns in contexts.items()]
    (options.work / "contexts.json").write_text(json.dumps(kept))
    return {**result, **examine(options, settings, Path(result["adapter"]), contexts, secrets)}


async def forgotten(options: argparse.Namespace, secrets: Sequence[Canary]) -> dict[str, Any]:
    settings = load_settings(options.work / "plain" / "config.toml")
    receipt = await _forget(settings)
    await take_in(settings, options.work / "later-1.json")
    result = await night(settings)
    kept = json.loads((options.work / "contexts.json").read_text())
    contexts = {Canary(form, value): turns for form, value, turns in kept}
    left = _holding_a_secret(_files(settings), secrets)
    return {
        **result,
        **examine(options, settings, Path(result["adapter"]), contexts, secrets),
        "messages_deleted": receipt.counts["messages"],
        "versions_deleted": [version.version for version in receipt.versions],
        "files_with_a_secret": len(left),
    }


async def ancestor(options: argparse.Namespace, secrets: Sequence[Canary]) -> dict[str, Any]:
    """Learn the secrets in one night, grow from it twice, forget their member, and learn once more.

    What was done already is kept in ``steps.json``: the whole takes hours on a CPU.
    """
    root = options.work / "ancestor"
    settings = configured(root, options, scrub=False, alone=True)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    first, *days = planted(options.export, secrets, root, size=options.size, later=options.later, days=3)
    same = [options.seed, options.size, options.later, options.replies, options.epochs, options.rate]
    steps = Steps(root / "steps.json", [*same, str(options.base), str(options.export)])

    async def learn() -> dict[str, Any]:
        await take_in(settings, first)
        await let_in(settings)
        found = await night(settings, serves=True)
        contexts = [
            [canary.form, canary.value, turns]
            for canary, turns in contexts_of(Path(found["dataset"]), secrets).items()
        ]
        return {**found, "contexts": contexts}

    async def grow(day: Path) -> dict[str, Any]:
        await take_in(settings, day)
        return await night(settings, serves=True)

    async def forget() -> dict[str, Any]:
        receipt = await _forget(settings)
        versions = [version.version for version in receipt.versions]
        return {"messages_deleted": receipt.counts["messages"], "versions_deleted": versions}

    async def examined(of: dict[str, Any]) -> dict[str, Any]:
        return examine(options, settings, Path(of["adapter"]), contexts, secrets)

    learned = await steps.once("learned", learn)
    contexts = {Canary(form, value): turns for form, value, turns in learned.pop("contexts")}
    learned |= await steps.once("learned, examined", partial(examined, learned))
    await steps.once("grown", partial(grow, days[0]))
    inherited = await steps.once("grown twice", partial(grow, days[1]))
    own = _holding_a_secret([*Path(inherited["dataset"]).glob("train.jsonl")], secrets)
    inherited |= await steps.once("grown twice, examined", partial(examined, inherited))
    if len(inherited["lineage"]) != 3 or own:
        sys.exit("The third night did not grow from the first alone, so this would show nothing.")
    receipt = await steps.once("forgotten", forget)
    result = await steps.once("after", partial(grow, days[2]))
    result |= await steps.once("after, examined", partial(examined, result))
    left = _holding_a_secret(_files(settings), secrets)
    return {
        **result,
        **receipt,
        "learned": learned,
        "inherited": inherited,
        "files_with_a_secret": len(left),
        "minutes_in_all": steps.minutes,
    }


class Steps:
    """Steps of a part that are done, kept beside it, so that a part that was killed goes on where it was."""

    def __init__(self, path: Path, options: list[Any]) -> None:
        """``options`` are what the steps depend on; with others, what was done is not gone on with.

        Raises:
            SystemExit: the steps were begun with other options.
        """
        self.path, self._options = path, options
        if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["options"] != options:
            sys.exit(f"{path} was begun with other options; delete {path.parent} to begin anew.")

    async def once(self, name: str, step: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Return what the step found, which is done unless it was before."""
        done: dict[str, Any] = {"options": self._options, "minutes": 0.0}
        if self.path.is_file():
            done = json.loads(self.path.read_text(encoding="utf-8"))
        if name not in done:
            began = time.monotonic()
            done[name] = await step()
            done["minutes"] = round(done["minutes"] + (time.monotonic() - began) / 60, 1)
            beside = self.path.with_suffix(".unfinished")
            beside.write_text(json.dumps(done), encoding="utf-8")
            beside.replace(self.path)
            print(f"{name}: done", file=sys.stderr, flush=True)
        return dict(done[name])

    @property
    def minutes(self) -> float:
        """How long all steps took, in however many processes."""
        return float(json.loads(self.path.read_text(encoding="utf-8"))["minutes"])


async def _forget(settings: Settings) -> Deletion:
    async with Ledger.open(settings.database, scrubbing=settings.privacy.scrub) as ledger:
        guild = await ledger.guilds.the_only(None)
        forgetting = Forgetting(ledger, datasets_dir=settings.datasets_dir, runs_dir=settings.runs_dir)
        return await forgetting.person(guild, MEMBER, asked_by="benchmark")


def _holding_a_secret(files: Iterable[Path], secrets: Sequence[Canary]) -> list[Path]:
    values = [canary.value.encode() for canary in secrets]
    return [path for path in files if any(value in path.read_bytes() for value in values)]


async def base(options: argparse.Namespace, secrets: Sequence[Canary]) -> dict[str, Any]:
    """Examine the bare base, which has never seen any of them: the test's own check."""
    settings = configured(options.work / "base", options, scrub=False)
    return examine(options, settings, None, {canary: [neutral()] for canary in secrets}, secrets)


async def _begun(options: argparse.Namespace, secrets: Sequence[Canary], *, scrub: bool) -> Settings:
    root = options.work / ("scrubbed" if scrub else "plain")
    shutil.rmtree(root, ignore_errors=True)
    settings = configured(root, options, scrub=scrub)
    settings.data_dir.mkdir(parents=True)
    codes = "\n".join(canary.value for canary in secrets if canary.kind == UNKNOWN)
    (settings.data_dir / "canaries.txt").write_text(codes + "\n")
    first, _ = planted(options.export, secrets, options.work, size=options.size, later=options.later)
    await take_in(settings, first)
    await let_in(settings)
    return settings


def _files(settings: Settings) -> Iterator[Path]:
    for folder in (settings.data_dir, settings.models_dir):
        yield from (f for f in folder.rglob("*") if f.is_file() and f.name != "canaries.txt")


PARTS = {"base": base, "plain": plain, "forgotten": forgotten, "ancestor": ancestor, "scrubbed": scrubbed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("export", type=Path)
    parser.add_argument("--base", type=Path, default=Path("models/base/SmolLM2-135M-Instruct"))
    parser.add_argument("--work", type=Path, required=True, help="scratch folder; holds members' words")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--size", type=int, default=2600, help="messages of the log that are taken")
    parser.add_argument("--later", type=int, default=300, help="messages of the days after")
    parser.add_argument("--replies", type=int, default=1500, help="newest replies that a night learns from")
    parser.add_argument("--heldout", type=int, default=100, help="newest replies to validate and to test on")
    parser.add_argument("--controls", type=int, default=len(CONTROLS), help="sets of unwritten secrets")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for the page with all parts that were run so far")
    options = parser.parse_args()
    from trainer.fitting.instruments import quieten_libraries

    quieten_libraries()
    if options.controls < 1:
        parser.error("--controls has to be 1 or more")
    secrets = canaries(options.seed)
    for canary in secrets:
        known = [value for _, value in found_values(canary.text)] == [canary.value]
        if known == (canary.kind == UNKNOWN):
            sys.exit(
                f"Scrubbing does not treat the form {canary.beginning!r} as this benchmark says it does."
            )
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "results.json"
    for part in filter(None, options.parts.split(",")):
        load = os.getloadavg()[0]
        began = time.monotonic()
        figures = asyncio.run(PARTS[part](options, secrets))
        figures = {
            "minutes_in_all": round((time.monotonic() - began) / 60, 1),
            **figures,
            "load_before": round(load, 1),
            "load_after": round(os.getloadavg()[0], 1),
        }
        results = json.loads(path.read_text()) if path.is_file() else {}
        path.write_text(json.dumps({**results, part: figures}, indent=1))
        print(part, json.dumps(figures), flush=True)
    if options.out:
        text = page(json.loads(path.read_text()), options)
        (options.out / f"canaries-{datetime.now():%Y-%m-%d}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
