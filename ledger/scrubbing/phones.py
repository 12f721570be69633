"""Phone numbers of many countries, judged by ``phonenumbers`` (Google's libphonenumber).

The library knows numbers, not chat: nine digits of any kind are a number somewhere. So it is asked
only about what has the shape of a number, in a form that people write without a word of explanation
("+49 ...", "(202) 555-0123", "06 39 98 12 34"), or near a word such as "call" or "téléphone".
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberType

from ledger.scrubbing.masking import without_urls

Explained = Callable[[], bool]
_SEPARATOR = r"[ \-./()]{0,3}"
_EXTENSION = r"(?: ?(?:x|ext\.?) ?\d{1,6})?"
_CANDIDATE = re.compile(
    rf"(?<![\w@#$%=<+*^~-])(?<![\w)][.,:/])(?P<number>(?:\+{_SEPARATOR}|\(\+?)?\d(?:{_SEPARATOR}\d){{6,16}}){_EXTENSION}"
    r"(?![\w%]|[.,:/-]\d|\+)",
    re.ASCII,
)
_LINK = re.compile(
    r"(?:wa\.me/|api\.whatsapp\.com/send\?phone=|t\.me/\+|tel:)(\+?\d[\d-]{6,17}\d)", re.IGNORECASE
)
_WORDS = re.compile(
    r"""(?<![a-z])(?:
    (?:tele|mobile?\s)?phone|tel(?:[.:]|\s*$)|tél|telefon\w*|t[eé]l[eé]phone|tel[eé]fono|telemóvel|telefoon|telefone
    |mobil(?:e|nummer|tel)?|cell(?:ular|phone)?|celular|cellulare|whatsapp|whats|zap|signal|sms|fax|landline|hotline
    |call|ring|dial|text|handy(?:nummer)?|rufnummer|telefonnummer|festnetz|natel|durchklingeln|ruf|anrufen?
    |erreichst|erreichbar|wählen?|appelle[zr]?|portable|joignable|ll[aá]ma(?:me|nos)?|m[oó]vil|mobiel|bel|app\s(?:even|me|mij)
    |liga|ligue|telemóvel|zadzwoń|dzwoń|kom[oó]rk\w+|chiama(?:mi)?|ara(?:yın)?|numaram?
    |(?:my|his|her|our|your|new|mein\w*|meu|mon|ma|mi|mijn|mój|mio|mera|min|mitt|das\sist\sdie|el|o|il|ihr\w*|seine\w*)
      \s(?:number|nummer|num[eé]ro|número|numer|nr)
    )(?![a-z])
    |電話|携帯|番号|电话|手机|号码|打(?=\s?[+\d])|联系
    |फोन|नंबर|тел|номер|звони|📞|☎|📱
    """,
    re.VERBOSE | re.IGNORECASE,
)
_WORD_REACH = 32
MAX_JUDGED = 40
"""So many candidates of one text are judged, at up to 30 questions to the library each; a text with more
is no chat, and all that has the shape of a number goes."""
MAX_ROWS = 20
# Written without a country code, a number can be from any of the places where members live.
REGIONS = (
    *(
        "US",
        "GB",
        "DE",
        "FR",
        "ES",
        "NL",
        "IT",
        "PT",
        "PL",
        "AT",
        "CH",
        "BE",
        "IE",
        "AU",
        "NZ",
        "ZA",
        "IN",
        "JP",
    ),
    *("CN", "BR", "MX", "AR", "SE", "NO", "DK", "FI", "TR", "RU"),
)
_NORTH_AMERICAN = re.compile(r"(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[.-]\d{4}")
_FRENCH_PAIRS = re.compile(r"0[1-9](?:[ .-]\d\d){4}")
_TRUNK_ZERO = re.compile(r"(?:\(0\d{1,4}\)[ ./-]?|0\d{1,4}[ ./-])\d{2,8}(?:[ .-]\d{2,5}){0,3}")
_JAPANESE = re.compile(r"0\d{1,3}-\d{2,4}-\d{4}")
_BARE = re.compile(r"0(?:6\d{8}|7\d{8,9}|1[5-7]\d{8,9}|[1-3]\d{9})")
_BRAZILIAN = re.compile(r"\([1-9]\d\) ?9?\d{4}-\d{4}")
# A decimal number, or seconds and milliseconds since 1970.
_NO_PHONE = re.compile(r"\d+\.\d{5,}|1[4-9]\d{8}(?:\d{3})?")
# "order 0049151234567": shops and shippers count in long numbers, too.
_COUNTED_THING = re.compile(
    r"\b(?:orders?|ticket|invoice|rma|sku|tracking|serial|case|issue|isbn|ean|bestellung|rechnung|commande|pedido)"
    r"(?:\s(?:number|no\.?|nr\.?|id))?\s?[#:]{0,2}\s?$",
    re.IGNORECASE,
)
# "1 2 3 4 5 6 7 8": each digit alone is a list or a count.
_COUNTED = re.compile(r"\d(?: \d)+")
_NATIONAL_LENGTH = 14
_ROW = re.compile(r"(?<![\w@#$%=<+*^~.,:/-])[(\d](?:[ \-./()]{0,3}\d){14,}(?![\w%]|[.,:/-]\d)", re.ASCII)
# How a number begins that may stand in a row of them; each of its groups, and how many it has at most.
_ROW_HEAD = re.compile(r"\(0?\d{2,4}\)|00[1-9]\d{0,2}(?!\d)|0[1-9]|[2-9]\d\d[.-]")
_ROW_GROUP = re.compile(r"\(?\d+\)?")
_MOST_GROUPS = 6
_ROW_SHAPE = re.compile(
    "|".join(
        form.pattern for form in (_NORTH_AMERICAN, _FRENCH_PAIRS, _TRUNK_ZERO, _JAPANESE, _BARE, _BRAZILIAN)
    )
    + r"|00[1-9]\d{0,2}(?:[ ./-]\d{1,8}){1,5}"
)
# Mobile numbers without any separator are usual in China and India; the script tells whose they are.
_SCRIPTS = (
    (re.compile(r"[\u4e00-\u9fff]"), re.compile(r"1[3-9]\d{9}"), "CN"),
    (re.compile(r"[\u0900-\u097f]"), re.compile(r"[6-9]\d{4} ?\d{5}"), "IN"),
)


def phones(view: str) -> Iterator[tuple[int, int]]:
    """Yield where a phone number stands."""
    if sum(map(view.count, "0123456789")) < 7:
        return
    yield from (match.span(1) for match in _LINK.finditer(view))
    view = without_urls(view)
    scripts = _scripts_of(view)
    for number, match in enumerate(_CANDIDATE.finditer(view)):
        text = match["number"]
        start, end = match.span()
        if text.count("(") > text.count(")"):
            start, text = start + 1, text[1:]
        if text.isdecimal() and _COUNTED_THING.search(view, max(0, start - _WORD_REACH), start):
            continue
        if (
            number >= MAX_JUDGED
            or is_number(text, explained=_explained(view, start, end))
            or _is_of_a_script(text, scripts)
        ):
            yield start, end
    yield from _in_rows(view)


def _in_rows(view: str) -> Iterator[tuple[int, int]]:
    """Yield the numbers that stand one after the other with nothing but a blank or a slash between them.

    Together they are too long for a number. Only what has its country's grouping is one here, two at
    least, with hardly a digit left over: a row of numbers is mostly a table.
    """
    for row in itertools.islice(_ROW.finditer(view), MAX_ROWS):
        places = list(itertools.islice(_cut(view, *row.span()), MAX_JUDGED))
        covered = sum(_digits(view[start:end]) for start, end in places)
        if len(places) == MAX_JUDGED:
            yield row.span()
        elif len(places) > 1 and covered >= 0.8 * _digits(row[0]):
            yield from places


def _cut(view: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the numbers of a row, each as long as it can be."""
    groups = [match.span() for match in _ROW_GROUP.finditer(view, start, end)]
    at = asked = 0
    while at < len(groups):
        step = 1
        if _ROW_HEAD.match(view, groups[at][0]):
            for length, text in _heads(view, groups[at : at + _MOST_GROUPS]):
                asked += 1
                if asked > MAX_JUDGED or is_number(text, explained=_unexplained):
                    yield groups[at][0], groups[at + length - 1][1]
                    step = length
                    break
        at += step


def _heads(view: str, groups: list[tuple[int, int]]) -> list[tuple[int, str]]:
    """Return how many of the groups look like a number, and that number; the longest comes first."""
    heads: list[tuple[int, str]] = []
    digits = 0
    for length, (start, end) in enumerate(groups, 1):
        digits += end - start - (view[start] == "(") - (view[end - 1] == ")")
        text = view[groups[0][0] : end]
        if 9 <= digits <= 15 and _ROW_SHAPE.fullmatch(text):
            heads.insert(0, (length, text))
    return heads


def _unexplained() -> bool:
    return False


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))


def _explained(view: str, start: int, end: int) -> Explained:
    """Return a question to be asked only where the number's own form leaves it open: it is slow."""

    def asked() -> bool:
        before = view[max(0, start - _WORD_REACH) : start]
        return bool(_WORDS.search(before) or _WORDS.search(view[end : end + _WORD_REACH // 2]))

    return asked


def _scripts_of(view: str) -> list[tuple[re.Pattern[str], str]]:
    """Return the forms and regions of the scripts that the text is written in."""
    return [(form, region) for letters, form, region in _SCRIPTS if letters.search(view)]


def _is_of_a_script(text: str, scripts: Iterable[tuple[re.Pattern[str], str]]) -> bool:
    return any(form.fullmatch(text) and valid(text, region) for form, region in scripts)


def is_number(text: str, *, explained: Explained) -> bool:
    """Return whether ``text`` is a phone number; ``explained`` tells whether a word nearby says so."""
    digits = re.sub(r"\D", "", text)
    if digits.endswith("000000") or _NO_PHONE.fullmatch(text) or _COUNTED.fullmatch(text):
        return False
    if text.lstrip("(").startswith("+") or digits.startswith("00"):
        international = "+" + digits.removeprefix("00")
        known = valid(international, None) or (possible(international) and len(digits) >= 10)
        return known or (9 <= len(digits) <= 15 and explained())
    if _FRENCH_PAIRS.fullmatch(text):
        return True
    if _looks_like_a_date(text):
        return False
    if _usual_shape(text):
        return True
    # No country's national number, with its trunk zero, is longer.
    if len(digits) > _NATIONAL_LENGTH or not explained():
        return False
    # Numbers that nobody has been given yet look the same, and area codes are added every year.
    if digits[0] == "0" and 9 <= len(digits) <= 13:
        return True
    return any(valid(text, region) for region in REGIONS)


def _usual_shape(text: str) -> bool:
    """Return whether ``text`` has the grouping that its country uses, and is a number there."""
    if _NORTH_AMERICAN.fullmatch(text):
        return True
    if _BRAZILIAN.fullmatch(text):
        return valid(text, "BR")
    if _BARE.fullmatch(text):
        mobile = any(valid(text, region, mobile=True) for region in ("NL", "FR", "GB", "DE"))
        return mobile or (len(text) == 11 and valid(text, "GB"))
    if _JAPANESE.fullmatch(text) and valid(text, "JP"):
        return True
    zero = _TRUNK_ZERO.fullmatch(text) and 9 <= sum(map(str.isdigit, text)) <= 12
    return bool(zero) and any(
        valid(text, region) for region in ("GB", "DE", "AT", "CH", "NL", "BE", "AU", "SE")
    )


def _looks_like_a_date(text: str) -> bool:
    return bool(
        re.match(r"(?:19|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ]\d|\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d", text)
    )


def possible(international: str) -> bool:
    """Return whether a number with country code has a length that its country knows."""
    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(international, None)))
    except NumberParseException:
        return False


def valid(text: str, region: str | None, *, mobile: bool = False) -> bool:
    """Return whether ``region`` could have given out this number."""
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return False
    if not mobile:
        return bool(phonenumbers.is_valid_number(number))
    return phonenumbers.number_type(number) in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
