"""Invite links and webhook addresses, Discord's and others': whoever has one can come in, or post.

Links to messages and channels stay: they open nothing for someone who is not a member.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_HOST = r"(?:https?://)?(?:(?:www|ptb|canary)\.)?discord(?:app)?\.com"
_WEBHOOK = re.compile(
    rf"(?<![\w.]){_HOST}/api(?:/v\d{{1,2}})?/webhooks/\d{{15,20}}/[\w-]{{20,100}}", re.IGNORECASE | re.ASCII
)
_OTHER_WEBHOOKS = re.compile(
    r"(?:https?://)?(?:hooks\.slack\.com/(?:services|workflows|triggers)/[A-Z0-9]{6,14}/[\w/]{16,100}"
    r"|media\.guilded\.gg/webhooks/[\w-]{20,40}/[\w-]{40,100}"
    r"|[\w-]{1,63}\.webhook\.office\.com/webhookb2/[\w@/-]{40,250}"
    r"|hook\.(?:[a-z]{2}\d\.)?make\.com/\w{20,60}|hooks\.zapier\.com/hooks/catch/\d{4,12}/\w{5,20})/?",
    re.IGNORECASE | re.ASCII,
)
_INVITE = re.compile(
    rf"(?<![A-Za-z0-9_.])(?:{_HOST}/invite/|(?:https?://)?(?:www\.)?(?:discord\.gg/(?:invite/)?|dsc\.gg/|invite\.gg/"
    r"|discord\.me/|disboard\.org/server/join/))[A-Za-z0-9](?:[\w-]{0,62}[A-Za-z0-9])?",
    re.IGNORECASE | re.ASCII,
)
# ".gg/name" is how people write an invite that a filter would take.
_SHORT_INVITE = re.compile(r"(?<![\w.])\.gg/[A-Za-z0-9][\w-]{1,62}", re.IGNORECASE | re.ASCII)
_GATE = re.compile(r"discord|\.gg/", re.IGNORECASE)


def webhooks(view: str) -> Iterator[tuple[int, int]]:
    """Yield where a webhook's address stands."""
    if "hook" in view.lower():
        yield from (match.span() for match in _WEBHOOK.finditer(view))
        yield from (match.span() for match in _OTHER_WEBHOOKS.finditer(view))


def invites(view: str) -> Iterator[tuple[int, int]]:
    """Yield where an invite link stands."""
    if _GATE.search(view):
        yield from (match.span() for match in _INVITE.finditer(view))
        yield from (match.span() for match in _SHORT_INVITE.finditer(view))
