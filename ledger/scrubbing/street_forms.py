"""How street addresses look, language by language: the patterns that ``addresses`` tries.

Patterns alone; what counts and when is decided in ``addresses``.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Form(NamedTuple):
    """How addresses of a language look, and words of which each such address has one; which are ASCII.

    Looking for plain words first is many times faster than trying a pattern at each position.
    """

    needs: tuple[str, ...]
    plain_needs: tuple[str, ...]
    pattern: re.Pattern[str]


def _form(pattern: str, needs: str) -> Form:
    words = tuple(dict.fromkeys(needs.split()))
    return Form(words, tuple(filter(str.isascii, words)), re.compile(pattern))


def _either_case(words: str) -> str:
    """Return ``words`` (separated by "|", no patterns) as they stand and with a capital, with spaces."""
    return " ".join(f"{word.split()[0]} {word.split()[0].capitalize()}" for word in words.split("|"))


_UPPER = "A-ZÀ-ÖØ-ÞĄĆČĐĘĞİŁŃŘŚŞŠŹŻŽ"
_LOWER = "a-zß-öø-ɏ"
_WORD = rf"[{_UPPER}][{_LOWER}]+"
_NAME = rf"[{_UPPER}][{_UPPER}{_LOWER}'.-]*"
_IN_CITY = "am|an der|im|in|de|del|la|le|les|sur|sous|den|der|upon"
# A word for street or with a number behind it begins the next address.
_STREET_FIRST = (
    "Am|An|Auf|Im|In|Zum|Zur|Unter|Hinter|Rua|Rue|Av|Avda|Avenida|Avenue|Calle|Plaza|Via|Viale|Ul|Al"
)
_CITY_WORD = rf"(?!(?:{_STREET_FIRST})\b)[{_UPPER}][{_LOWER}'-]+"
CITY = rf"{_CITY_WORD}(?:(?:[ -](?:{_IN_CITY}))?[ -]{_CITY_WORD}(?![{_LOWER}'-]| \d)){{0,2}}"
# A house number may carry a letter, a stair and a door; it is no price, decimal or time.
_DOOR = r"[/-](?:\d{1,3}[a-zA-Z]?|(?:[A-Z]|hs|bis|I{2,3}|IV)(?!\w))"
_NUMBER = rf"\d{{1,4}}(?: ?[a-zA-Z](?![A-Za-z/]))?(?:{_DOOR}){{0,2}}(?![\w%€$]|[.,:]\d)"
_NOT_AFTER_NUMBER = r"(?<![\w.,:/$-])"

# English: 221B Willow Road, Flat 2, London NW1 6XE; 57/48, Hill Street; 12 Elm St Apt 3 Boston MA 02118.
UK_POSTCODE = r"(?:[A-PR-UWYZ][A-HK-Y]?\d[\dA-HJ-Y]? \d[ABD-HJLNP-UW-Z]{2})"
_EN_ZIP = rf"(?:[A-Z]{{2,3}} \d{{4,5}}(?:-\d{{4}})?|{UK_POSTCODE})(?!\w)"
_EN_TAIL = rf"(?:(?:,? {CITY})?,? {_EN_ZIP})?"
_EN_UNIT = r",? (?:Apt|Apartment|Suite|Ste|Unit|Flat|#)\.? ?(?:\d{1,5}[A-Z]?|[A-Z])(?!\w)"
_EN_END = rf"(?:{_EN_UNIT})?{_EN_TAIL}"
_EN_TYPES = (
    "Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Boulevard|Blvd|Way|Place|Pl|Terrace|Crescent"
    "|Cres|Close|Square|Sq|Parkway|Pkwy|Circle|Cir|Highway|Hwy|Trail|Trl|Row|Mews|Gardens|Grove|Walk|Quay"
    "|Alley|Marg|Chowk|Nagar"
)
# Words that name much else besides, so the number must be one that only a long street has.
_EN_WIDER_TYPES = (
    "Park|Loop|Ridge|Estates?|Points?|Plaza|Heights|Hills?|Meadows?|Crossing|Pike|Path|Bend|Green|Crest|Shores?"
    "|Springs?|Bridge|Canyon|Creek|Forest|Glens?|Harbor|Hollow|Island|Junction|Knolls?|Lakes?|Landing|Manor"
    "|Orchard|Pass|Pines?|Run|Trace|Turnpike|Valley|View|Village|Vista|Wells"
)
_EN_NO_NAME = r"(?!(?:Supreme|District|High|Federal|Crown|County|Appeals|International) Court\b)"
_EN_NAMES = rf"(?:[NSEW]\.? )?(?:{_EN_NO_NAME}(?:{_NAME}|\d{{1,3}}(?:st|nd|rd|th)) ){{1,3}}"
# "Level 3 Boss Drive", "5 Star Court"
_EN_NUMBER = (
    r"(?<!\b[Ll]evel )(?<!\b[Ss]tage )(?<!\b[Cc]hapter )(?<!\b[Ee]pisode )(?<!\b[Rr]ound )(?<!\b[Ss]eason )"
    rf"{_NOT_AFTER_NUMBER}(?![1-7] Star )(?:(?:Flat|Unit) \d{{1,4}}[A-Za-z]?,? |H\.? ?No\.? )?"
    r"\d{1,5}[A-Z]?(?:/\d{1,4})?,? "
)
ENGLISH = _form(
    rf"{_EN_NUMBER}{_EN_NAMES}(?:{_EN_TYPES})\b\.?(?!['\w])" + _EN_END,
    _EN_TYPES.replace("|", " "),
)
ENGLISH_WIDER = _form(
    rf"{_NOT_AFTER_NUMBER}(?!19\d\d|20\d\d)\d{{3,5}} {_EN_NAMES}(?:{_EN_WIDER_TYPES})\b(?!['\w])" + _EN_END,
    _EN_WIDER_TYPES.replace("s?", "").replace("|", " "),
)
ENGLISH_UNIT = _form(
    rf"{_EN_NUMBER}(?:{_NAME} ){{1,3}}{_NAME}{_EN_UNIT}{_EN_TAIL}", "Apt Apartment Suite Ste Unit Flat #"
)
BOX = _form(rf"\bP\.? ?O\.? ?Box \d{{1,6}}{_EN_TAIL}", "Box")
ENGLISH_SMALL = (
    rf"{_NOT_AFTER_NUMBER}\d{{1,5}}[a-z]? (?:[a-z']{{3,20}} ){{1,2}}"
    r"(?:street|avenue|road|lane|drive|crescent|boulevard|terrace)\b"
)

# German: Mühlgasse 8/2/14, 1040 Wien; Straße des 17. Juni 135; Am Hafen 17, 20457 Hamburg.
_DE_TAIL = rf"(?:,? (?:[A-Z]{{1,2}}-)?\d{{4,5}}(?: ?[A-Z]{{2}})? {CITY})"
_DE_ENDINGS = (
    "straße|strasse|str\\.|weg|gasse|allee|damm|ufer|chaussee|steig|(?:[rnsldghmf]|ch|[dfhk]t)ring"
    # Places at which one works, parks, sits or stores.
    "|(?<!Arbeits)(?<!Park)(?<!Sitz)(?<!Stell)(?<!Speicher)platz"
)
_DE_TYPES = "Straße|Strasse|Str\\.|Weg|Platz|Allee|Ring|Damm|Ufer|Gasse|Markt|Chaussee"
GERMAN = _form(
    rf"\b(?:(?:{_WORD}-){{0,3}}[{_UPPER}][{_LOWER}.-]*(?:{_DE_ENDINGS})"
    rf"|(?:(?:{_WORD}-){{1,4}}|(?:{_WORD}[ -]){{1,2}})(?:{_DE_TYPES}))"
    rf" {_NUMBER}{_DE_TAIL}?"
    rf"|\b(?:Straße|Platz|Allee) (?:des|der|von) (?:\d{{1,2}}\. )?{_WORD} {_NUMBER}{_DE_TAIL}?",
    "traße trasse tr. weg Weg gasse Gasse allee Allee damm Damm ufer Ufer haussee steig ring Ring platz Platz"
    " Markt",
)
_DE_AT = "Am|An der|An den|Auf dem|Auf der|Im|In der|Zum|Zur|Unter den|Hinter der"
GERMAN_PLACE = rf"\b(?:{_DE_AT}) (?:(?:{_WORD}|alten|neuen) )?{_WORD} {_NUMBER}"
GERMAN_PLACE_IN_CITY = _form(GERMAN_PLACE + _DE_TAIL, "Am An Auf Im In Zum Zur Unter Hinter")

# Romance languages: a type, linking words, names; the number in front (French) or behind.
_OF = "de las|de los|de la|de l'|del|des|de|du|do|da|das|dos|d'|la|le|les|l'|el|aux?|à|della|delle|dei|di|e|y"
_NAMES = rf"(?:(?:{_OF}) ?){{0,2}}{_NAME}(?: (?:(?:{_OF}) ?)?{_NAME}){{0,3}}"
_FR_TYPES = (
    "rue|avenue|av.|boulevard|bd|bvd|place|chemin|impasse|allée|allées|allee|quai|route|cours|square|passage"
    "|sentier|faubourg|montée|villa"
)
_FR_TYPE = rf"(?i:{_FR_TYPES.replace('.', chr(92) + '.')})"
FRENCH = _form(
    rf"{_NOT_AFTER_NUMBER}\d{{1,4}}(?: ?(?:bis|ter|quater)\b)?,? {_FR_TYPE} {_NAMES}(?:,? \d{{5}} {CITY})?"
    # Behind, as in Switzerland and Belgium; one name must be a written-out word ("route US 2").
    rf"|\b(?i:rue|avenue|boulevard|chemin|impasse|quai|route) (?=(?:\D{{0,40}} )?{_WORD}){_NAMES},? {_NUMBER}"
    rf"(?:,? \d{{4,5}} {CITY})?",
    _either_case(_FR_TYPES),
)
_SOUTHERN_TYPES = (
    # Spanish, with Mexico's
    "calle|c/|avenida|avda.|avda|av.|av|plaza|pza.|paseo|carrer|camino|ronda|glorieta|callejón|cuesta|urbanización"
    "|rambla|pasaje|pasadizo|cañada|acceso|circuito|diagonal|cerrada|peatonal|periférico|retorno|prolongación"
    "|calzada|privada|andador|circunvalación|boulevard|ampliación|continuación|eje vial|viaducto"
    # Portuguese, with Brazil's
    "|rua|travessa|praça|largo|alameda|estrada|rodovia|ladeira|viela|quadra|esplanada|residencial|condomínio"
    "|loteamento|chácara|recanto|vereda|viaduto|jardim|parque|conjunto"
    # Italian
    "|viale|piazza|piazzale|corso|vicolo|contrada|borgo|strada|lungomare|rotonda"
)
_SOUTHERN_TYPE = rf"(?i:{_SOUTHERN_TYPES.replace('.', chr(92) + '.')})"
_FLOOR = (
    r"(?: ?[,-]? ?(?:(?i:piso|puerta|apt\.?|apto\.?|interior|int\.|edif\.?|depto\.?|piano|appartamento"
    r"|interno|bloco|bl\.|andar|apartamento|casa|sala|scala"
    r"|lote|n\.?º)"
    r" ?\d{1,4}[A-Z]?|\d{1,2}\.?[ºª] ?[A-Z]?))"
)
SOUTHERN = _form(
    rf"(?<![\w.]){_SOUTHERN_TYPE} ?(?:(?:Sur|Norte) )?{_NAMES}"
    rf"(?:,? (?:n\.?[º°]? ?)?{_NUMBER}{_FLOOR}{{0,3}}|, ?[Ss]/[Nn]\b)"
    rf"(?:(?:,| -)? (?:\d{{4,5}}(?:-\d{{3}})? )?{CITY})?",
    _either_case(_SOUTHERN_TYPES),
)
# "Via" also begins English sentences and "C." or "R." much else: a comma tells, or nothing that follows.
SOUTHERN_SHORT = _form(
    rf"(?<![\w.])(?:Vía|Via|C\.|R\.|Vila|Campo|Largo|Morro|Praia|Lagoa|Fazenda|Setor|Núcleo|Pátio|Passarela"
    r"|Canale|Stretto)"
    rf" {_NAMES}(?:, {_NUMBER}|,? {_NUMBER}(?=[^\w ]|$)){_FLOOR}{{0,2}}(?:,? \d{{5}} {CITY})?",
    "Vía Via C. R. Vila Campo Largo Morro Praia Lagoa Fazenda Setor Núcleo Pátio Passarela Canale Stretto",
)
NUMBERED_STREET = _form(
    r"\b(?i:calle|cl\.?|carrera|cra\.?|kr\.?|diagonal|transversal) \d{1,3}[A-Z]?(?: bis)?"
    r" (?:[Nn]o\.?|#|[Nn][º°]) ?\d{1,3}[A-Z]? ?- ?\d{1,3}",
    "No no # Nº N° nº n°",
)

# Dutch: Keizersgracht 123, 1015 CJ Amsterdam; Laan van Meerdervoort 55.
_NL_ENDINGS = "straat|laan|weg|plein|gracht|kade|dijk|singel|steeg|dreef|plantsoen|boulevard|baan"
DUTCH = _form(
    rf"\b(?:(?:{_WORD} ){{1,2}}(?:Plein|Straat|Laan|Gracht|Kade)"
    rf"|(?:Laan|Plein|Weg|Kade) (?:van (?:de |den |het )?|der )(?:{_WORD} ?){{1,2}}(?<! )"
    # A court, unless it is a station, an inn or a graveyard (German).
    rf"|(?!Bahn|Gast|Fried|Bau|Innen|Schul){_WORD}(?<=[a-zé]hof)"
    rf"|(?:{_WORD} )?[{_UPPER}][{_LOWER}-]*(?:{_NL_ENDINGS}))"
    rf" {_NUMBER}(?:,? \d{{4}}(?: ?[A-Z]{{2}})? {CITY})?",
    _NL_ENDINGS.replace("|", " ") + " hof Plein Straat Laan Gracht Kade",
)

# Polish, Russian and Turkish put the type in front or behind, mostly abbreviated.
POLISH = _form(
    rf"(?<!\w)(?i:ul\.|al\.|pl\.|os\.|ulica|aleja|plac) ?"
    rf"(?:{_NAME}|\d{{1,2}})(?: (?:i )?{_NAME}){{0,3}} {_NUMBER}"
    rf"(?:,? \d{{2}}-\d{{3}} {CITY})?",
    "ul. Ul. al. Al. pl. Pl. os. Os. ulica Ulica aleja Aleja plac Plac",
)
RUSSIAN = _form(
    r"(?<!\w)(?i:ул\.|улица|пр\.|просп\.|проспект|пер\.|переулок|наб\.|бул\.|бульвар|алл\.|ш\.|шоссе"
    r"|пл\.) ?"
    r"(?:[А-ЯЁ0-9][А-Яа-яЁё.-]* ?){1,3},? (?:д\.? ?|дом )?\d{1,4}[а-я]?(?:/\d{1,3})?(?!\w)"
    r"(?:,? (?:к\.|корп\.|стр\.) ?\d{1,3})?(?:,? (?:кв\.?|квартира) ?\d{1,4})?",
    "ул. улица пр. просп пер. переул наб. бул алл. ш. шоссе пл. Ул. Улица Пр. Просп",
)
TURKISH = _form(
    rf"\b(?:{_WORD} ){{1,3}}(?:Sokak|Sokağı|Sok\.|Sk\.|Caddesi|Cadde|Cad\.|Cd\.|Bulvarı|Mahallesi|Mah\.),?"
    r" (?:(?i:no)\s?[:.]?\s?)?\d{1,4}[A-Z]?(?:[/-]\d{1,3})?(?!\w)",
    "Sok Sk. Cad Cd. Bulvar Mah",
)
NORDIC = _form(
    rf"\b(?:{_WORD} ){{0,2}}{_WORD}"
    r"(?<=gatan|vägen|orget|allén|gränd|tigen|.gade|..vej|.gata|veien|træde|.Allé)"
    rf" {_NUMBER}"
    rf"(?:,? \d{{3}} ?\d{{1,2}} {CITY})?",
    "gatan vägen torget allén gränd stigen gade vej gata veien stræde Allé",
)

# Japanese and Chinese: from the large to the small.
_HAN = "一-鿿"
JAPANESE = _form(
    rf"(?:〒 ?\d{{3}}-\d{{4}} ?)?(?:東京都|北海道|(?:京都|大阪)府|[{_HAN}]{{2,3}}県)"
    rf"[{_HAN}ぁ-ゖァ-ヺー々]{{1,24}}\d[\d丁目番地号-]{{0,12}}",
    "東京都 北海道 府 県",
)
CHINESE = _form(
    rf"(?:北京|上海|天津|重庆|[{_HAN}]{{2,3}}省)市?[{_HAN}]{{0,14}}(?:路|街|道|巷|弄|胡同)\d{{1,5}}号"
    rf"(?:[{_HAN}\d-]{{0,12}}室)?",
    "号",
)
FORMS = (
    *(ENGLISH, ENGLISH_WIDER, ENGLISH_UNIT, BOX, GERMAN, GERMAN_PLACE_IN_CITY, FRENCH),
    *(SOUTHERN, SOUTHERN_SHORT, NUMBERED_STREET, DUTCH, POLISH, RUSSIAN, TURKISH, NORDIC, JAPANESE, CHINESE),
)
