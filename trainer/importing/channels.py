"""Which kind of channel an export is of: a server's channel, a thread in one, or something private.

Exports name the kinds by Discord's numbers or by words that differ from tool to tool. This file knows names
only; the gate says whether a thread's channel may be taken.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from trainer.importing.message_drafts import word

Kind = Literal["channel", "thread", "private thread", "direct"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("1", "3", "dm", "groupdm", "directtextchat", "directgrouptextchat"), "direct"),
    **dict.fromkeys(("10", "newsthread", "announcementthread", "11", "publicthread"), "thread"),
    **dict.fromkeys(("12", "privatethread"), "private thread"),
}
_NO_LETTER = re.compile(r"[^a-z0-9]+")


def kind_of(value: Any) -> Kind:
    """Return the kind that a channel's ``type`` names: 11, "PUBLIC_THREAD" or "GuildPublicThread"."""
    return _KINDS.get(_NO_LETTER.sub("", word(value)).removeprefix("guild"), "channel")
