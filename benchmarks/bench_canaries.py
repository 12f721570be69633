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
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from canary_attacks import CONTROLS, contexts_of, examine, neutral
from canary_log import UNKNOWN, Canary, canaries, planted
from canary_nights import configured, files_of, forget, let_in, night, take_in
from canary_page import page
from ledger.scrubbing import found_values
from ledger.settings import Settings, load_settings
from steps import Steps


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
    receipt = await forget(settings)
    await take_in(settings, options.work / "later-1.json")
    result = await night(settings)
    kept = json.loads((options.work / "contexts.json").read_text())
    contexts = {Canary(form, value): turns for form, value, turns in kept}
    left = _holding_a_secret(files_of(settings), secrets)
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

    async def forgotten_then() -> dict[str, Any]:
        receipt = await forget(settings)
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
    receipt = await steps.once("forgotten", forgotten_then)
    result = await steps.once("after", partial(grow, days[2]))
    result |= await steps.once("after, examined", partial(examined, result))
    left = _holding_a_secret(files_of(settings), secrets)
    return {
        **result,
        **receipt,
        "learned": learned,
        "inherited": inherited,
        "files_with_a_secret": len(left),
        "minutes_in_all": steps.minutes,
    }


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
