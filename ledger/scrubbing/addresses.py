"""Street addresses in the forms of a dozen languages: a number, a name and a word for street.

A city or a street alone stays, and so does "main street is closed". A postcode alone, or a form that
is also ordinary speech, counts where a word such as "address" stands nearby.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ledger.scrubbing.masking import without_urls


class Form(NamedTuple):
    """How addresses of a language look, and words of which each such address has one.

    Looking for plain words first is many times faster than trying a pattern at each place.
    """

    needs: tuple[str, ...]
    pattern: re.Pattern[str]


def _form(pattern: str, needs: str) -> Form:
    return Form(tuple(needs.split()), re.compile(pattern))


_UPPER = "A-ZÀ-ÖØ-ÞĄĆĘŁŃŚŠŹŻŽ"
_LOWER = "a-zß-öø-ɏ"
_WORD = rf"[{_UPPER}][{_LOWER}]+"
_NAME = rf"[{_UPPER}][{_UPPER}{_LOWER}'.-]*"
_IN_CITY = "am|an der|im|in|de|del|la|le|les|sur|sous|den|der|upon"
_CITY = rf"[{_UPPER}][{_LOWER}'-]+(?:(?:[ -](?:{_IN_CITY}))?[ -][{_UPPER}][{_LOWER}'-]+){{0,2}}"
# A house number may carry a letter, a stair and a door; it is no price, decimal or time.
_NUMBER = r"\d{1,4}(?: ?[a-zA-Z](?![A-Za-z]))?(?:[/-]\d{1,3}[a-zA-Z]?){0,2}(?![\w%€$]|[.,:]\d)"
_NO_NUMBER_BEFORE = r"(?<![\w.,:/$-])"

_UK_POSTCODE = r"(?:[A-PR-UWYZ][A-HK-Y]?\d[\dA-HJ-Y]? \d[ABD-HJLNP-UW-Z]{2})"
_EN_TAIL = rf"(?:(?:,? {_CITY})?,? (?:[A-Z]{{2,3}} \d{{4,5}}(?:-\d{{4}})?|{_UK_POSTCODE})(?!\w))?"
_EN_UNIT = r"(?:,? (?:Apt|Apartment|Suite|Ste|Unit|Flat|#)\.? ?\d{0,4}[A-Z]?(?!\w))?"
_EN_TYPES = (
    "Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Boulevard|Blvd|Way|Place|Pl|Terrace|Crescent"
    "|Cres|Close|Square|Sq|Parkway|Pkwy|Circle|Cir|Highway|Hwy|Trail|Trl|Row|Mews|Gardens|Grove|Walk|Quay"
    "|Alley"
)
_EN_NO_NAME = r"(?!(?:Supreme|District|High|Federal|Crown|County|Appeals|International) Court\b)"
_ENGLISH = _form(
    rf"{_NO_NUMBER_BEFORE}(?:(?:Flat|Unit) \d{{1,4}}[A-Z]?,? )?\d{{1,5}}[A-Z]?(?:/\d{{1,4}})? (?:[NSEW]\.? )?"
    rf"(?:{_EN_NO_NAME}(?:{_NAME}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,3}}(?:{_EN_TYPES})\b\.?(?!['\w])"
    + _EN_UNIT
    + _EN_TAIL,
    _EN_TYPES.replace("|", " "),
)
_BOX = _form(rf"\bP\.? ?O\.? ?Box \d{{1,6}}{_EN_TAIL}", "Box")
_ENGLISH_SMALL = (
    rf"{_NO_NUMBER_BEFORE}\d{{1,5}}[a-z]? (?:[a-z']{{3,20}} ){{1,2}}"
    r"(?:street|avenue|road|lane|drive|crescent|boulevard|terrace)\b"
)

_DE_TAIL = rf"(?:,? (?:[A-Z]{{1,2}}-)?\d{{4,5}}(?: ?[A-Z]{{2}})? {_CITY})"
_DE_ENDINGS = (
    "straße|strasse|str\\.|weg|gasse|allee|damm|ufer|chaussee|steig|(?:[rnsldghmf]|ch)ring"
    # Places at which one works, parks, sits or stores.
    "|(?<!Arbeits)(?<!Park)(?<!Sitz)(?<!Stell)(?<!Speicher)platz"
)
_DE_TYPES = "Straße|Strasse|Str\\.|Weg|Platz|Allee|Ring|Damm|Ufer|Gasse|Markt|Chaussee"
_GERMAN = _form(
    rf"\b(?:[{_UPPER}][{_LOWER}.-]*(?:{_DE_ENDINGS})|(?:[{_UPPER}][{_LOWER}-]+[ -]){{1,2}}(?:{_DE_TYPES}))"
    rf" {_NUMBER}{_DE_TAIL}?"
    rf"|\b(?:Straße|Platz|Allee) (?:des|der|von) (?:\d{{1,2}}\. )?{_WORD} {_NUMBER}{_DE_TAIL}?",
    "traße trasse tr. weg Weg gasse Gasse allee Allee damm Damm ufer Ufer haussee steig ring Ring platz Platz"
    " Markt",
)
_DE_AT = "Am|An der|An den|Auf dem|Auf der|Im|In der|Zum|Zur|Unter den|Hinter der"
_GERMAN_PLACE = rf"\b(?:{_DE_AT}) (?:{_WORD} )?{_WORD} {_NUMBER}"
_GERMAN_PLACE_IN_CITY = _form(_GERMAN_PLACE + _DE_TAIL, "Am An Auf Im In Zum Zur Unter Hinter")

_OF = "de las|de los|de la|de l'|del|des|de|du|do|da|das|dos|d'|la|le|les|l'|el|aux?|à|della|delle|dei|di"
_NAMES = rf"(?:(?:{_OF}) ?){{0,2}}{_NAME}(?: (?:(?:{_OF}) ?)?{_NAME}){{0,3}}"
_FRENCH = _form(
    rf"{_NO_NUMBER_BEFORE}\d{{1,4}}(?: ?(?:bis|ter|quater)\b)?,? (?i:rue|avenue|av\.|boulevard|bd|bvd|place"
    r"|chemin|impasse|all[ée]es?|quai|route|cours|square|passage|sentier|faubourg|montée|villa)"
    rf" {_NAMES}(?:,? \d{{5}} {_CITY})?",
    "rue Rue venue av. Av. oulevard bd Bd bvd lace hemin mpasse llée llee quai Quai oute ours quare assage"
    " entier aubourg ontée illa",
)
_SOUTHERN = _form(
    r"(?<![\w.])(?i:calle|c/|avenida|avda?\.?|av\.|plaza|pza\.?|paseo|carrer|camino|ronda|glorieta|rua"
    r"|travessa|praça|largo|alameda|estrada|rodovia|viale|piazza|piazzale|corso|vicolo)"
    rf" ?{_NAMES},? (?:n\.?[º°]? ?)?{_NUMBER}(?:, \d{{1,2}}\.?[ºª] ?[A-Z]?)?"
    rf"(?:(?:,| -)? (?:\d{{4,5}}(?:-\d{{3}})? )?{_CITY})?",
    "alle C/ c/ venida av. Av. avda Avda laza za. aseo arrer amino onda lorieta rua Rua ravessa raça argo"
    " lameda strada odovia iale iazza orso icolo",
)
# "Via" also begins English sentences, so nothing but a city may follow.
_ITALIAN = _form(rf"\bVia {_NAMES},? {_NUMBER}(?=[^\w ]|$| ?,)(?:,? \d{{5}} {_CITY})?", "Via")
_POLISH = _form(
    rf"(?<!\w)(?i:ul\.|al\.|pl\.|os\.|ulica|aleja) ?{_NAME}(?: {_NAME})? {_NUMBER}"
    rf"(?:,? \d{{2}}-\d{{3}} {_CITY})?",
    "ul. Ul. al. Al. pl. os. ulica aleja Aleja",
)
_NL_ENDINGS = "straat|laan|weg|plein|gracht|kade|dijk|singel|steeg|dreef|plantsoen"
_DUTCH = _form(
    rf"\b(?:(?:{_WORD} ){{1,2}}(?:Plein|Straat|Laan|Gracht|Kade)"
    rf"|(?:Laan|Plein|Weg|Kade) (?:van (?:de |den |het )?|der )(?:{_WORD} ?){{1,2}}(?<! )"
    rf"|(?:{_WORD} )?[{_UPPER}][{_LOWER}-]*(?:{_NL_ENDINGS}))"
    rf" {_NUMBER}(?:,? \d{{4}}(?: ?[A-Z]{{2}})? {_CITY})?",
    _NL_ENDINGS.replace("|", " ") + " Plein Straat Laan Gracht Kade",
)
_NORDIC = _form(
    rf"\b{_WORD}(?<=gatan|vägen|orget|allén|.gade|..vej|.gata|veien) {_NUMBER}"
    rf"(?:,? \d{{3}} ?\d{{1,2}} {_CITY})?",
    "gatan vägen torget allén gade vej gata veien",
)
_HAN = "一-鿿"
_JAPANESE = _form(
    rf"(?:〒 ?\d{{3}}-\d{{4}} ?)?(?:東京都|北海道|(?:京都|大阪)府|[{_HAN}]{{2,3}}県)"
    rf"[{_HAN}ぁ-ゖァ-ヺー々]{{1,24}}\d[\d丁目番地号-]{{0,12}}",
    "東京都 北海道 府 県",
)
_CHINESE = _form(
    rf"(?:北京|上海|天津|重庆|[{_HAN}]{{2,3}}省)市?[{_HAN}]{{0,14}}(?:路|街|道|巷|弄|胡同)\d{{1,5}}号"
    rf"(?:[{_HAN}\d-]{{0,12}}室)?",
    "号",
)
_NUMBERED_STREET = _form(
    r"\b(?i:calle|cl\.?|carrera|cra\.?|kr\.?|diagonal|transversal) \d{1,3}[A-Z]?(?: bis)?"
    r" (?:[Nn]o\.?|#|[Nn][º°]) ?\d{1,3}[A-Z]? ?- ?\d{1,3}",
    "No no # Nº N° nº n°",
)
FORMS = (
    _ENGLISH,
    _BOX,
    _GERMAN,
    _GERMAN_PLACE_IN_CITY,
    _FRENCH,
    _SOUTHERN,
    _NUMBERED_STREET,
    _ITALIAN,
    _POLISH,
    _DUTCH,
    _NORDIC,
    _JAPANESE,
    _CHINESE,
)
_EXPLAINED_FORMS = re.compile(
    "|".join(
        (
            _ENGLISH_SMALL,
            rf"\b{_UK_POSTCODE}(?!\w)",
            rf"\b\d{{4}} ?(?!KB|MB|GB|TB|AM|PM|AD|BC)[A-Z]{{2}} {_CITY}",
            rf"\b\d{{5}} {_CITY}",
            _GERMAN_PLACE,
        )
    )
)
_WORDS = re.compile(
    r"\b(?:address|post\s?code|zip|live[sd]?|living|i'm in|come over|ship|parcel|deliver|adresse?|adres"
    r"|wohn\w+|plz|postleitzahl|treffpunkt|umgezogen|paket|dirección|morada|endereço|indirizzo|woon"
    r"|code postal|código postal)\b",
    re.IGNORECASE,
)


def addresses(view: str) -> Iterator[tuple[int, int]]:
    """Yield where a street address stands, with flat, postcode and city where they follow it."""
    view = without_urls(view)
    for form in FORMS:
        if any(word in view for word in form.needs):
            yield from (match.span() for match in form.pattern.finditer(view))
    if _WORDS.search(view):
        yield from (match.span() for match in _EXPLAINED_FORMS.finditer(view))
