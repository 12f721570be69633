"""Street addresses in the forms of a dozen languages: a number, a name and a word for street.

A city or a street alone stays, and so does "main street is closed". A postcode alone, or a form that
is also ordinary speech, counts where a word such as "address" stands in the same message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ledger.scrubbing.masking import without_urls
from ledger.scrubbing.street_forms import CITY, ENGLISH_SMALL, FORMS, GERMAN_PLACE, UK_POSTCODE

_EXPLAINED_FORMS = re.compile(
    "|".join(
        (
            ENGLISH_SMALL,
            rf"\b{UK_POSTCODE}(?!\w)",
            rf"\b\d{{4}} ?(?!KB|MB|GB|TB|AM|PM|AD|BC)[A-Z]{{2}} {CITY}",
            rf"\b\d{{5}} {CITY}",
            GERMAN_PLACE,
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
    plain = view.isascii()
    for form in FORMS:
        for word in form.plain_needs if plain else form.needs:
            if word in view:
                yield from (match.span() for match in form.pattern.finditer(view))
                break
    if _WORDS.search(view):
        yield from (match.span() for match in _EXPLAINED_FORMS.finditer(view))
