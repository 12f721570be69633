"""Phone numbers of many countries, judged by ``phonenumbers`` (Google's libphonenumber).

The library knows numbers, not chat: nine digits of any kind are a number somewhere. So it is asked
only about what has the shape of a number, in a form that people write without a word of explanation
("+49 ...", "(202) 555-0123", "06 39 98 12 34"), or near a word such as "call" or "téléphone".
"""

from __future__ import annotations

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
NORTH_AMERICAN = re.compile(r"(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[.-])[2-9]\d\d[.-]\d{4}")
FRENCH_PAIRS = re.compile(r"0[1-9](?:[ .-]\d\d){4}")
TRUNK_ZERO = re.compile(r"(?:\(0\d{1,4}\)[ ./-]?|0\d{1,4}[ ./-])\d{2,8}(?:[ .-]\d{2,5}){0,3}")
JAPANESE = re.compile(r"0\d{1,3}-\d{2,4}-\d{4}")
BARE = re.compile(r"0(?:6\d{8}|7\d{8,9}|1[5-7]\d{8,9}|[1-3]\d{9})")
BRAZILIAN = re.compile(r"\([1-9]\d\) ?9?\d{4}-\d{4}")
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
# Mobile numbers without any separator are usual in China and India; the script tells whose they are.
_SCRIPTS = (
    (re.compile(r"[\u4e00-\u9fff]"), re.compile(r"1[3-9]\d{9}"), "CN"),
    (re.compile(r"[\u0900-\u097f]"), re.compile(r"[6-9]\d{4} ?\d{5}"), "IN"),
)


def phones(view: str) -> Iterator[tuple[int, int]]:
    """Yield where a phone number stands."""
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
    if FRENCH_PAIRS.fullmatch(text):
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
    if NORTH_AMERICAN.fullmatch(text):
        return True
    if BRAZILIAN.fullmatch(text):
        return valid(text, "BR")
    if BARE.fullmatch(text):
        mobile = any(valid(text, region, mobile=True) for region in ("NL", "FR", "GB", "DE"))
        return mobile or (len(text) == 11 and valid(text, "GB"))
    if JAPANESE.fullmatch(text) and valid(text, "JP"):
        return True
    zero = TRUNK_ZERO.fullmatch(text) and 9 <= sum(map(str.isdigit, text)) <= 12
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
