"""IP addresses of both versions, without what only looks like one: releases, sections, times, packages.

Loopback, unspecified, netmasks and the public resolvers that everybody pings tell nothing about a
person and stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address

_V4 = re.compile(
    r"(?<![\w.])(?<![A-Za-z]-)(?<![A-Za-z0-9]/)(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d|-[A-Za-z])", re.ASCII
)
# "203[.]0[.]113[.]7" is how people write an address that no program shall take for a link.
_DOT = r"(?:\[\.\]|\(\.\)|\[dot\])"
_BROKEN_DOTS = ("[.]", "(.)", "[dot]")
_BROKEN_UP = re.compile(
    rf"(?<![\w.])\d{{1,3}}(?:{_DOT}\d{{1,3}}){{3}}(?!\w)|(?<![\w.])(?:\d{{1,3}}\.){{2}}\d{{1,3}}{_DOT}\d{{1,3}}(?!\w)",
    re.ASCII,
)
_V6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:]|\.\d)", re.ASCII)
_HARMLESS = {"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"}
_VERSION_WORDS = (
    r"v|ver|vers|versions?|versão|versión|versie|wersj\w|versione|верси\w"
    r"|releases?|released|updates?|updated|upgraded?|upgrades?|build|kernel|driver|firmware|crate|package"
    r"|since|section|sections|chapter|figure|fig|table|clause|rfc|appendix|rev|revision|android|ios|macos|windows"
)
_VERSION_BEFORE = re.compile(
    rf"(?:(?:\b(?:{_VERSION_WORDS})\b[.:]?\s(?:\w+\s){{0,2}})|バージョン\s?|版本\s?|版\s?"
    r"|[=~<>!]=\s?|§\s?|\b(?:v|ver)\.?)$",
    re.IGNORECASE,
)
# A release of three parts nearby, or a word for release.
_VERSION_NEAR = re.compile(
    rf"\b(?:{_VERSION_WORDS}|changelog|out now|is out)\b|(?<![\w.])\d{{1,2}}\.\d{{1,2}}\.\d{{1,3}}(?![\w.])",
    re.IGNORECASE,
)
_PATCH = re.compile(r"-\d{1,3}-[\w]|[-+~](?:rc|beta|alpha)")
_REACH = 30
_SMALL = 40
_PORT = re.compile(r":\d{2,5}\b|/\d{1,2}\b")
_NETWORK = re.compile(
    r"\bips?\b|ipv4|address|adress|adresse|server|host|ping|ssh|dns|router|gateway|subnet|netmask|connect|banned|whois"
    r"|login|port\b|resolve|traceroute|айпи|サーバ|服务器",
    re.IGNORECASE,
)


MAX_JUDGED = 100
"""The words around so many addresses of a text are read; a text with more is a log and no changelog."""


def ips(view: str) -> Iterator[tuple[int, int]]:
    """Yield where an IP address of a machine stands."""
    for number, match in enumerate(_V4.finditer(view)):
        if _is_v4(match[0]) and (number >= MAX_JUDGED or not _is_version(view, match)):
            yield match.span()
    for match in _BROKEN_UP.finditer(view) if any(dot in view for dot in _BROKEN_DOTS) else ():
        if _is_v4(re.sub(r"\D+", ".", match[0])):
            yield match.span()
    if view.count(":") >= 2:
        for match in _V6.finditer(view):
            if _is_v6(match[0]):
                yield match.span()


def _is_v4(text: str) -> bool:
    octets = text.split(".")
    if any(int(octet) > 255 or (len(octet) > 1 and octet[0] == "0") for octet in octets):
        return False
    return int(octets[0]) not in (0, 127, 255) and text not in _HARMLESS


def _is_version(view: str, match: re.Match[str]) -> bool:
    """Return whether words around say release.

    Four small numbers are nearly always one: 40 in 256 to the fourth power is six addresses in ten
    thousand. So they are an address only where something nearby speaks of networks.
    """
    before = view[max(0, match.start() - _REACH) : match.start()]
    if _VERSION_BEFORE.search(before):
        return True
    if _PATCH.match(view, match.end()):
        return True
    small = all(int(octet) < _SMALL for octet in match[0].split("."))
    around = before + " " + view[match.end() : match.end() + _REACH]
    if not small:
        return False
    if _VERSION_NEAR.search(around):
        return True
    local = match[0].startswith("10.")
    return not (
        local
        or before.endswith(("//", "@", "["))
        or _PORT.match(view, match.end())
        or _NETWORK.search(around)
    )


def _is_v6(text: str) -> bool:
    """Return whether it is an address and neither a time, a module path nor loopback."""
    groups = [group for group in text.split(":") if group]
    long_enough = len(groups) >= 3 or (len(groups) == 2 and len(groups[0]) == 4)
    if not long_enough or not any(character.isdigit() for character in text):
        return False
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True
