"""How well ``ledger.scrubbing`` finds private values, against lines whose values are marked, and libraries.

    python benchmarks/bench_scrubbing.py [--half tuning|held-out|fresh|all] [--misses] [--chat EXPORT…]
                                         [--write docs/scrubbing.md]

Lines stand in tests/ledger/scrubbing/*.jsonl: ``⟦kind|value⟧`` marks a value and ``¦`` breaks up what
a secret scanner would take for real; both are taken out on loading. Chat exports (DiscordChatExporter
JSON, gzipped or not) are only counted: no sentence of theirs is printed. Libraries that are not
installed are left out: detect-secrets, presidio-analyzer and scrubadub are not needed for anything else.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ledger.scrubbing import KINDS, find_spans  # noqa: E402  (the project's folder comes first)
from ledger.scrubbing.phones import numbers as phones  # noqa: E402  (the project's folder comes first)

HALVES = {
    "tuning": ROOT / "tests/ledger/scrubbing/scrubbing_lines.jsonl",
    "held-out": ROOT / "tests/ledger/scrubbing/scrubbing_heldout.jsonl",
    "fresh": ROOT / "tests/ledger/scrubbing/scrubbing_fresh.jsonl",
}
BEGIN, END = "<!-- figures of bench_scrubbing.py: begin -->", "<!-- figures of bench_scrubbing.py: end -->"
SECRETS = frozenset(("token", "discord-token", "password", "webhook"))
Place = tuple[str, int, int]
Finder = Callable[[str], list[Place]]
_MARK = re.compile(r"⟦([a-z-]+)\|([^⟧]*)⟧")
_SLACK = 2


@dataclass(frozen=True)
class Line:
    """A line of chat and the private values in it, as (kind, start, end)."""

    language: str
    text: str
    gold: tuple[Place, ...]


@dataclass
class Score:
    """Values found and missed, and places found that are none, by kind; and how long a line took."""

    found: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    spoiled_lines: int = 0
    seconds_a_line: float = 0.0
    notes: list[str] = field(default_factory=list)

    def recall(self, kinds: Iterable[str] = KINDS) -> float | None:
        found, missed = (sum(counts[kind] for kind in kinds) for counts in (self.found, self.missed))
        return found / (found + missed) if found + missed else None

    def precision(self, kinds: Iterable[str] = KINDS) -> float | None:
        right, false = (sum(counts[kind] for kind in kinds) for counts in (self.right, self.false))
        return right / (right + false) if right + false else None


def load(path: Path) -> list[Line]:
    """Read marked lines."""
    return [parse(**json.loads(row)) for row in path.read_text(encoding="utf-8").splitlines()]


def parse(lang: str, text: str) -> Line:
    """Take marks and breaks out of ``text``."""
    text = text.replace("¦", "")
    plain, gold, done = "", [], 0
    for match in _MARK.finditer(text):
        plain += text[done : match.start()]
        gold.append((match[1], len(plain), len(plain) + len(match[2])))
        plain += match[2]
        done = match.end()
    return Line(lang, plain + text[done:], tuple(gold))


def score(lines: Sequence[Line], find: Finder, *, merged: frozenset[str] = frozenset()) -> Score:
    """Compare what ``find`` finds with the marks.

    A value counts as found when one place of its kind covers all of it: half a card number is a miss.
    A place is right when it meets a value of its kind and reaches at most two characters beyond it, so
    that swallowing the sentence does not count. Kinds in ``merged`` pass for each other, for libraries
    that know "a secret" alone.
    """
    result = Score()

    def same(left: str, right: str) -> bool:
        return left == right or (left in merged and right in merged)

    started = time.perf_counter()
    places = [find(line.text) for line in lines]
    result.seconds_a_line = (time.perf_counter() - started) / max(len(lines), 1)
    for line, got in zip(lines, places, strict=True):
        for kind, start, end in line.gold:
            hit = any(same(kind, k) and a <= start and b >= end for k, a, b in got)
            (result.found if hit else result.missed)[kind] += 1
            if not hit:
                result.notes.append(f"missed {kind}: {line.text!r}")
        for kind, start, end in got:
            right = any(same(kind, gold[0]) and _close(line.text, start, end, gold) for gold in line.gold)
            (result.right if right else result.false)[kind] += 1
            if not right:
                result.notes.append(f"false {kind} {line.text[start:end]!r}: {line.text!r}")
        result.spoiled_lines += not line.gold and bool(got)
    return result


def _close(text: str, start: int, end: int, gold: Place) -> bool:
    _, first, last = gold
    outside = text[start:first].strip(), text[last:end].strip()
    return start < last and end > first and all(len(part) <= _SLACK for part in outside)


def ours(text: str) -> list[Place]:
    """Find with ``ledger.scrubbing`` as it is used."""
    return [(span.kind, span.start, span.end) for span in find_spans(text)]


def without_phonenumbers(text: str) -> list[Place]:
    """Find with the rules alone: any number of the usual length passes for a phone number."""

    def plausible(text: str, _region: str | None = None, *, mobile: bool = False) -> bool:
        return 8 <= sum(map(str.isdigit, text)) <= 15

    kept = phones.valid, phones.possible
    phones.valid, phones.possible = plausible, plausible  # type: ignore[assignment]
    try:
        return ours(text)
    finally:
        phones.valid, phones.possible = kept


def phonenumbers_alone() -> Finder:
    """Find with the library's own matcher, for each region that ``phones`` knows."""
    import phonenumbers

    def find(text: str) -> list[Place]:
        places: list[Place] = []
        for region in phones.REGIONS:
            for match in phonenumbers.PhoneNumberMatcher(text, region):
                if all(match.end <= start or match.start >= end for _, start, end in places):
                    places.append(("phone", match.start, match.end))
        return places

    return find


def detect_secrets_alone(*, entropy: bool = True) -> Finder:
    """Find with the plugins of detect-secrets; what it calls a public IP address counts as ip.

    Without ``entropy`` its two plugins that take any random text are left out.
    """
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import transient_settings

    names = sorted({plugin.__name__ for plugin in get_mapping_from_secret_type_to_class().values()})
    plugins = [{"name": name} for name in names if entropy or "HighEntropy" not in name]

    def find(text: str) -> list[Place]:
        places: dict[tuple[int, int], str] = {}
        with transient_settings({"plugins_used": plugins}):
            offset = 0
            for row in text.split("\n"):
                for secret in scan_line(row):
                    at = row.find(secret.secret_value or "\0")
                    if at >= 0:
                        kind = "ip" if "IP" in secret.type else "token"
                        start = offset + at
                        places[start, start + len(secret.secret_value or "")] = kind
                offset += len(row) + 1
        return [(kind, start, end) for (start, end), kind in places.items()]

    return find


def presidio_alone() -> Finder:
    """Find with presidio-analyzer's recognisers that need no language model."""
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        EmailRecognizer,
        IbanRecognizer,
        IpRecognizer,
        PhoneRecognizer,
    )

    recognisers = [
        ("email", EmailRecognizer()),
        ("ip", IpRecognizer()),
        ("card", CreditCardRecognizer()),
        ("iban", IbanRecognizer()),
        ("phone", PhoneRecognizer(supported_regions=phones.REGIONS)),
    ]

    def find(text: str) -> list[Place]:
        places: set[Place] = set()
        for kind, recogniser in recognisers:
            found = recogniser.analyze(text, recogniser.supported_entities, None) or []
            places |= {(kind, result.start, result.end) for result in found}
        return sorted(places)

    return find


def scrubadub_alone() -> Finder:
    """Find with scrubadub's default detectors."""
    import scrubadub

    kinds = {"email": "email", "phone": "phone", "credit_card": "card", "credential": "password"}
    scrubber = scrubadub.Scrubber(locale="en_US")

    def find(text: str) -> list[Place]:
        return [
            (kinds[filth.type], filth.beg, filth.end)
            for filth in scrubber.iter_filth(text)
            if filth.type in kinds
        ]

    return find


_SECRET_KINDS = ("token", "discord-token", "password", "webhook")
RIVALS: dict[str, tuple[str, Callable[[], Finder], tuple[str, ...]]] = {
    "phonenumbers alone": ("phonenumbers", phonenumbers_alone, ("phone",)),
    "detect-secrets": ("detect-secrets", detect_secrets_alone, (*_SECRET_KINDS, "ip")),
    "detect-secrets, no entropy": (
        "detect-secrets",
        lambda: detect_secrets_alone(entropy=False),
        (*_SECRET_KINDS, "ip"),
    ),
    "presidio-analyzer": ("presidio-analyzer", presidio_alone, ("email", "phone", "ip", "card", "iban")),
    "scrubadub": ("scrubadub", scrubadub_alone, ("email", "phone", "card", "password")),
}


def table(halves: dict[str, list[Line]]) -> str:
    """Return the figures as Markdown."""
    scores = {name: score(lines, ours) for name, lines in halves.items()}
    rows = ["| kind | " + " | ".join(f"{name}: values | recall | precision" for name in scores) + " |"]
    rows.append("| --- |" + " ---: | ---: | ---: |" * len(scores))
    for kinds, label in [((kind,), kind) for kind in KINDS] + [(KINDS, "**all**")]:
        cells = []
        for result in scores.values():
            total = sum(result.found[kind] + result.missed[kind] for kind in kinds)
            cells += [str(total), _share(result.recall(kinds)), _share(result.precision(kinds))]
        rows.append(f"| {label} | " + " | ".join(cells) + " |")
    for name, result in scores.items():
        clean = sum(not line.gold for line in halves[name])
        rows.append(
            f"\n{name}: {result.spoiled_lines} of {clean} lines without a private value were touched."
        )
    return "\n".join(rows) + "\n\n" + _rivals([line for lines in halves.values() for line in lines])


def _rivals(lines: list[Line]) -> str:
    rows = [
        "| method | kinds | its recall | its precision | ours: recall | precision | its µs a line | ours |"
    ]
    rows.append("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    finders: list[tuple[str, Finder, tuple[str, ...]]] = [
        ("rules without phonenumbers", without_phonenumbers, ("phone",))
    ]
    for name, (package, make, kinds) in RIVALS.items():
        try:
            finders.append((f"{name} {version(package)}", make(), kinds))
        except (ImportError, PackageNotFoundError):
            continue
    mine = score(lines, ours, merged=SECRETS)
    for name, find, kinds in finders:
        theirs = score(lines, find, merged=SECRETS)
        groups = [tuple(kind for kind in kinds if kind in SECRETS)] + [
            (kind,) for kind in kinds if kind not in SECRETS
        ]
        for group in filter(None, groups):
            figures = [s(group) for s in (theirs.recall, theirs.precision, mine.recall, mine.precision)]
            micro = [f"{result.seconds_a_line * 1e6:.0f}" for result in (theirs, mine)]
            rows.append(
                f"| {name} | {', '.join(group)} | " + " | ".join([*map(_share, figures), *micro]) + " |"
            )
    return "\n".join(rows)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def messages(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the text of each message of some exports."""
    for path in paths:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig") as file:
            yield from (message["content"] for message in json.load(file)["messages"])


def chat_table(paths: Sequence[Path]) -> str:
    """Return how many messages of real chat are touched, by kind; and how fast."""
    texts = list(messages(paths))
    started = time.perf_counter()
    touched = [{span.kind for span in find_spans(text)} for text in texts]
    rate = len(texts) / (time.perf_counter() - started)
    counts = Counter(kind for kinds in touched for kind in kinds)
    listed = ", ".join(f"{kind} {count}" for kind, count in counts.most_common()) or "none"
    return (
        f"Real chat ({len(texts):,} messages, {sum(map(bool, touched))} touched); messages by kind: {listed}."
        f" {rate:,.0f} messages a second on one core."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--half", choices=[*HALVES, "all"], default="tuning")
    parser.add_argument("--misses", action="store_true", help="print each error, which shows the lines")
    parser.add_argument("--chat", type=Path, nargs="+", default=[], help="exports to count in")
    parser.add_argument("--write", type=Path, help="page to put the figures into, between its two marks")
    chosen = parser.parse_args(arguments)
    halves = {name: load(path) for name, path in HALVES.items() if chosen.half in (name, "all")}
    if chosen.misses:
        for lines in halves.values():
            print("\n".join(score(lines, ours).notes))
    head = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()} and phonenumbers"
        f" {version('phonenumbers')} on {platform.machine()}, one core."
    )
    figures = [head, table(halves)]
    if chosen.chat:
        figures.append(chat_table(chosen.chat))
    text = "\n\n".join(figures)
    print(text)
    if chosen.write:
        page = chosen.write.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        chosen.write.write_text(
            f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
