"""Payment cards (issuer's range, length, grouping and Luhn's check digit) and IBANs (length, mod 97)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ledger.scrubbing.masking import mask, without_urls

_CARD = re.compile(
    r"(?<![\w+.-])(?<!\d[.,:/])(?:\d{12,19}"
    r"|\d{4}(?P<by>[ ._-]|  )\d{4}(?P=by)\d{4}(?P=by)\d{4}(?:(?P=by)\d{2,3})?"
    r"|\d{4}(?P<of>[ ._-])\d{6}(?P=of)\d{4,5})(?!\w|[-.,:/]\d)",
    re.ASCII,
)
# Four groups of four digits: a row that goes on is a table, unless it is made of nothing but cards.
_ROW = re.compile(r"(?<![\w+.-])(?<!\d[.,:/])\d{4}(?:(?:  ?|[._-])\d{4}){4,}(?!\w|[-.,:/]\d)", re.ASCII)
_GROUPS = 4
_CARD_WORDS = re.compile(
    r"card|\bcc\b|visa|master|amex|maestro|diners|discover|kart[ey]|carte|cart[ãa]o|tarjeta|kaart"
    r"|カード|卡|कार्ड|карт",
    re.IGNORECASE,
)
_WORD_REACH = 40
# Leading digits and lengths of issuers (ISO/IEC 7812): the ranges in use.
_ISSUERS = re.compile(
    r"""4(?:\d{12}|\d{15}|\d{18})            # Visa
    |(?:5[1-5]\d{14})|(?:2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12})   # Mastercard
    |(?:1800|2131)\d{11}                      # JCB, older
    |3[47]\d{13}                               # American Express
    |6(?:011|5\d\d|4[4-9]\d)\d{12,15}          # Discover
    |35(?:2[89]|[3-8]\d)\d{12,15}              # JCB
    |3(?:0[0-5]|[689]\d)\d{11}                 # Diners Club
    |62\d{14,17}                               # UnionPay
    |(?:50|5[6-8]|63|67)\d{11,17}              # Maestro
    """,
    re.VERBOSE,
)


def cards(view: str) -> Iterator[tuple[int, int]]:
    """Yield where a payment card's number stands.

    Without a word such as "card" nearby, issuer and length must be usual ones: one in ten random
    numbers passes Luhn's check, and Discord is full of long identifiers.
    """
    view = without_urls(view)
    for row in _ROW.finditer(view):
        places = list(_in_row(view, row.start(), row.end()))
        yield from places
        if not (places or _CARD_WORDS.search(view, max(0, row.start() - _WORD_REACH), row.end())):
            view = mask(view, [row.span()])
    for match in _CARD.finditer(view):
        digits = re.sub(r"[ ._-]", "", match[0])
        if len(set(digits)) == 1 or not luhn(digits):
            continue
        grouped = len(digits) < len(match[0])
        # Nineteen-digit identifiers of Discord begin with 1, and no card does.
        usual = grouped or len(digits) in (15, 16, 19) or (len(digits) == 14 and digits[0] == "3")
        around = max(0, match.start() - _WORD_REACH), match.end() + _WORD_REACH
        if (usual and _ISSUERS.fullmatch(digits)) or _CARD_WORDS.search(view, *around):
            yield match.span()


def _in_row(view: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the cards at the head of a row of groups; what follows the last of them may be its date."""
    groups = [match.span() for match in re.compile(r"\d{4}").finditer(view, start, end)]
    for first in range(0, len(groups) - _GROUPS + 1, _GROUPS):
        four = groups[first : first + _GROUPS]
        digits = "".join(view[a:b] for a, b in four)
        if len(set(digits)) == 1 or not luhn(digits) or not _ISSUERS.fullmatch(digits):
            return
        yield four[0][0], four[-1][1]


def luhn(digits: str) -> bool:
    """Return whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = (int(digit) * 2 for digit in digits[-2::-2])
    return (sum(int(digit) for digit in digits[-1::-2]) + sum(n - 9 * (n > 9) for n in doubled)) % 10 == 0


# Countries by the length of their numbers, from the IBAN registry (SWIFT).
_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL",
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT",
    26: "IS TR",
    27: "FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB PL",
    29: "BR EG PS QA UA",
    30: "JO KW MU",
    31: "MT",
}
_LENGTHS = {country: length for length, countries in _COUNTRIES.items() for country in countries.split()}
_IBAN_HEAD = re.compile(r"(?<![A-Za-z0-9])([A-Z]{2})\d{2}(?=[ .-]?[A-Z0-9]{2})", re.IGNORECASE | re.ASCII)
_IBANS = {
    country: re.compile(rf"[A-Za-z0-9](?:[ .-]?[A-Za-z0-9]){{{length - 1}}}(?![^\W_])")
    for country, length in _LENGTHS.items()
}


def ibans(view: str) -> Iterator[tuple[int, int]]:
    """Yield where an international bank account number stands."""
    for head in _IBAN_HEAD.finditer(view):
        form = _IBANS.get(head[1].upper())
        match = form.match(view, head.start()) if form else None
        if match and _remainder(re.sub("[ .-]", "", match[0]).upper()) == 1:
            yield match.span()


def _remainder(iban: str) -> int:
    """Return the number that the moved and spelled-out IBAN is, modulo 97 (ISO 13616)."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97
