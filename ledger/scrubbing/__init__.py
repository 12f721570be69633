"""Take private values out of text: ``scrub`` puts a typed placeholder where each stood.

Pure functions over text: no network, no model, nothing stored. Each sort of value has its own file
with the rules and their reasons; docs/scrubbing.md says how well they do. What a sentence gives away
without such a value ("I live behind the bakery") is outside this package's reach.

- accounts: payment cards and IBANs
- addresses, street_forms: street addresses in a dozen languages
- credentials: Discord tokens, private keys, recovery phrases
- emails: e-mail addresses, plain or spelled out
- folding: the plain form that rules look at
- hosts: IP addresses
- invitations: invite links and webhooks
- masking: placeholders, and hiding what was found
- passwords: in addresses and after words that name one
- phones: phone numbers
- tokens: access tokens and keys
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ledger.scrubbing import accounts, addresses, credentials, emails, hosts, invitations, passwords, tokens
from ledger.scrubbing.folding import fold
from ledger.scrubbing.masking import KINDS, hide_placeholders, mask, placeholder, separate
from ledger.scrubbing.phones import numbers as phones
from ledger.scrubbing.phones import rows as phone_rows

Find = Callable[[str], Iterator[tuple[int, int]]]


class Rule(NamedTuple):
    """One detector; most chat has fewer than ``least_digits`` and skips it."""

    kind: str
    find: Find
    least_digits: int


class Span(NamedTuple):
    """One private value in a text: characters ``start`` to ``end``."""

    kind: str
    start: int
    end: int


MAX_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A text without private values, and how many of each kind were taken out."""

    text: str
    found: Counter[str]


# The order decides who gets a value that several rules know: the most particular form comes first.
RULES: tuple[Rule, ...] = (
    Rule("token", credentials.private_keys, 0),
    Rule("webhook", invitations.webhooks, 1),
    Rule("discord-token", credentials.discord_tokens, 0),
    Rule("token", tokens.known, 0),
    Rule("password", passwords.in_addresses, 0),
    Rule("token", tokens.named, 1),
    Rule("token", credentials.recovery_phrases, 0),
    Rule("password", passwords.named, 0),
    Rule("invite", invitations.invites, 0),
    Rule("email", emails.plain, 0),
    Rule("email", emails.spelled_out, 0),
    Rule("iban", accounts.ibans, 2),
    Rule("card", accounts.cards, 12),
    Rule("ip", hosts.ips, 1),
    Rule("address", addresses.addresses, 1),
    Rule("phone", phone_rows.in_rows, 18),
    Rule("phone", phones.phones, 7),
)


def scrub(text: str) -> Scrubbed:
    """Return ``text`` with a placeholder for each private value; scrubbing again changes nothing."""
    found: Counter[str] = Counter()
    for before, spans in _looks(text):
        found.update(span.kind for span in spans)
        text = _replaced(before, spans)
    return Scrubbed(text, found)


def found_values(text: str) -> list[tuple[str, str]]:
    """Return kind and value, as written, of everything that ``scrub`` takes out of ``text``."""
    return [(span.kind, before[span.start : span.end]) for before, spans in _looks(text) for span in spans]


def _looks(text: str) -> Iterator[tuple[str, list[Span]]]:
    """Yield each text looked at with what is to be taken out of it, until a look finds nothing.

    Taking one value out can lay the next one bare. In 94,082 messages of real chat no second look found
    anything; a text made to need one for each of its thousand values loses what stands behind the last
    look's first one, and in the end all of it, so that the time stays bounded by the length.
    """
    for look in itertools.count(1):
        spans = find_spans(text)
        if not spans:
            return
        if look >= MAX_LOOKS:
            start = spans[0].start if look < 2 * MAX_LOOKS else 0
            spans = [Span(spans[0].kind, start, len(text))]
        yield text, spans
        text = _replaced(text, spans)


def find_spans(text: str) -> list[Span]:
    """Return what one look finds, in the order of the text; no span overlaps another or a placeholder."""
    folded, positions = fold(text)
    view = hide_placeholders(folded)
    digits = sum(map(view.count, "0123456789"))
    spans: list[Span] = []
    for kind, find, least_digits in RULES:
        if digits < least_digits:
            continue
        places = separate(view, find(view))
        if places:
            spans += [Span(kind, start, end) for start, end in places]
            view = mask(view, places)
    if positions is not None:
        spans = [Span(kind, positions[start], positions[end - 1] + 1) for kind, start, end in spans]
    return sorted(spans, key=lambda span: span.start)


def _replaced(text: str, spans: list[Span]) -> str:
    parts, done = [], 0
    for span in spans:
        parts += [text[done : span.start], placeholder(span.kind)]
        done = span.end
    return "".join(parts) + text[done:]


__all__ = ["KINDS", "RULES", "Rule", "Scrubbed", "Span", "find_spans", "found_values", "scrub"]
