"""How much of what Faker makes up for many countries ``ledger.scrubbing`` finds.

    python benchmarks/bench_scrubbing_generated.py [--seed N] [--each N] [--write docs/scrubbing.md]

The marked lines were written by the same hand as the rules; these values were not. Faker (not among the
project's dependencies: pip install faker) invents numbers that nobody could have been given and English
streets like "8 Margaret Spur", so some misses are no loss; its whole value must be covered to count.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ledger.scrubbing import find_spans

LOCALES = (
    *(
        "en_US",
        "en_GB",
        "en_AU",
        "en_CA",
        "en_IN",
        "de_DE",
        "de_AT",
        "de_CH",
        "fr_FR",
        "fr_CH",
        "es_ES",
        "es_MX",
    ),
    *(
        "nl_NL",
        "nl_BE",
        "pt_BR",
        "pt_PT",
        "pl_PL",
        "it_IT",
        "sv_SE",
        "da_DK",
        "ja_JP",
        "zh_CN",
        "hi_IN",
        "tr_TR",
    ),
    "ru_RU",
)
# What the column is called, the kind, Faker's method, and the message around the value.
COLUMNS = (
    ("street", "address", "street_address", "see you at {} tonight"),
    ("phone, with a word", "phone", "phone_number", "call me: {} tonight"),
    ("phone, without", "phone", "phone_number", "ok so {} tonight"),
    ("email", "email", "email", "mail {} please"),
    ("IPv4", "ip", "ipv4_public", "it was {} again"),
    ("IPv6", "ip", "ipv6", "it was {} again"),
    ("card, with a word", "card", "credit_card_number", "my card {} for it"),
    ("card, without", "card", "credit_card_number", "use {} for it"),
    ("IBAN", "iban", "iban", "send it to {} please"),
)
WITHOUT_IBAN = {"en_US", "en_AU", "en_CA", "en_IN", "es_MX", "ja_JP", "zh_CN", "hi_IN", "ru_RU"}
# Faker makes streets of these out of English words or without a number.
WITHOUT_STREETS = {"ja_JP", "zh_CN", "hi_IN"}
BEGIN, END = (f"<!-- figures of bench_scrubbing_generated.py: {word} -->" for word in ("begin", "end"))


def is_found(template: str, value: str, kind: str) -> bool:
    """Return whether one place of ``kind`` covers all of ``value``."""
    start = template.index("{")
    spans = find_spans(template.format(value))
    return any(
        span.kind == kind and span.start <= start + 1 and span.end >= start + len(value) for span in spans
    )


def shares(seed: int, each: int) -> dict[str, dict[str, float]]:
    """Return the share found, by locale and column."""
    from faker import Faker

    found: dict[str, dict[str, float]] = defaultdict(dict)
    for locale in LOCALES:
        fake: Any = Faker(locale)
        for title, kind, method, template in COLUMNS:
            unknown = WITHOUT_IBAN if kind == "iban" else WITHOUT_STREETS if kind == "address" else ()
            if locale in unknown:
                continue
            fake.seed_instance(seed)
            values = [str(getattr(fake, method)()).replace("\n", ", ").strip() for _ in range(each)]
            found[locale][title] = sum(is_found(template, value, kind) for value in values) / each
    return found


def table(found: dict[str, dict[str, float]]) -> str:
    """Return the shares as Markdown, with the mean of the locales in the last row."""
    titles = [title for title, *_ in COLUMNS]
    rows = ["| locale | " + " | ".join(titles) + " |", "| --- |" + " ---: |" * len(titles)]
    for locale, by_title in found.items():
        cells = [f"{by_title[title]:.2f}" if title in by_title else "–" for title in titles]
        rows.append(f"| {locale} | " + " | ".join(cells) + " |")
    means = []
    for title in titles:
        values = [by_title[title] for by_title in found.values() if title in by_title]
        means.append(f"**{sum(values) / len(values):.3f}**")
    return "\n".join([*rows, "| **mean** | " + " | ".join(means) + " |"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--each", type=int, default=200, help="values a column and locale")
    parser.add_argument("--write", type=Path, help="page to put the figures into, between its two marks")
    chosen = parser.parse_args(arguments)
    head = f"Recall on values made by Faker {version('faker')}, seed {chosen.seed}, {chosen.each} a cell."
    text = f"{head}\n\n{table(shares(chosen.seed, chosen.each))}"
    print(text)
    if chosen.write:
        page = chosen.write.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        after = rest.partition(END)[2]
        chosen.write.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
