"""Which stored messages may be learned from tonight, and why the others may not.

Pure functions over records. What is refused here is gone for good: it is neither a reply to learn nor
context that another reply is learned from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ledger.records import LOCKED, OPT_IN, PACKAGE_BASIS, ConsentEvent, Message
from ledger.talk.prompts import readable

LIVE_SOURCE = "discord"
"""Source of what the bot heard itself."""
OPEN_SOURCES = frozenset({"package", "example", "local"})
"""Sources that never came through Discord's API: the policy lock does not concern them."""
PERSONAL_BASES = frozenset({"", OPT_IN, PACKAGE_BASIS})
"""Bases that are the person's own consent; any other is an operator's declaration."""

NO_CONSENT = "no consent in force"
OPTED_OUT = "opted out"
BOT = "written by bots"
COMMAND = "commands to bots"
EMPTY = "without text"
IGNORED = "in ignored channels"
WITHDRAWN = "by people who took something back during this night"

_PREFIXED = re.compile(r"(?:[!/?$%&;~+^\\-]|[.](?=[a-z]))[A-Za-z]\w*")


@dataclass(frozen=True, slots=True)
class Rules:
    """What is in force tonight."""

    consent: Mapping[int, ConsentEvent]
    bots: Mapping[int, str]
    ignored_channels: Collection[int] = ()
    discord_permission: str = ""
    without: Collection[int] = ()
    """People who are left out tonight: they took something back while it was learned from."""
    bot_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "bot_names", frozenset(name.casefold() for name in self.bots.values()))

    def reason_against(self, message: Message) -> str:
        """Return why ``message`` must be left out, or an empty text."""
        if message.is_bot or message.author_id in self.bots:
            return BOT
        if self._came_through_the_api(message) and not self.discord_permission.strip():
            return LOCKED
        if message.channel_id in self.ignored_channels:
            return IGNORED
        if message.author_id in self.without:
            return WITHDRAWN
        return self._consent(message) or self._content(message)

    @staticmethod
    def _came_through_the_api(message: Message) -> bool:
        """Tell whether the lock concerns it: all but what is known to be open, or was declared lawful.

        An export that nobody declared anything about was made with the API, too.
        """
        declared = message.source != LIVE_SOURCE and message.basis not in PERSONAL_BASES
        return message.source not in OPEN_SOURCES and not declared

    def _consent(self, message: Message) -> str:
        answer = self.consent.get(message.author_id)
        if answer is not None and not answer.granted:
            return OPTED_OUT
        if answer is not None and answer.channels and message.channel_id not in answer.channels:
            return NO_CONSENT  # a yes for some channels is a no for the others, whatever was declared
        if message.source != LIVE_SOURCE and message.basis not in PERSONAL_BASES:
            return ""
        return NO_CONSENT if answer is None else ""

    def _content(self, message: Message) -> str:
        text = readable(message.content, {})
        if not text:
            return EMPTY
        return COMMAND if self._is_command(message, text) else ""

    def _is_command(self, message: Message, text: str) -> bool:
        """Tell whether a bot was spoken to: "!roll", "/roll", "dicebot: roll", or a mention in front."""
        if _PREFIXED.match(text):
            return True
        lead = text[:40].casefold()
        if any(lead.startswith((f"{name}:", f"{name},", f"@{name} ")) for name in self.bot_names):
            return True
        return any(message.content.lstrip().startswith((f"<@{bot}>", f"<@!{bot}>")) for bot in self.bots)


def select(messages: Iterable[Message], rules: Rules) -> tuple[list[Message], Counter[str]]:
    """Return the messages that may be learned from, and the others counted by reason."""
    kept: list[Message] = []
    left_out: Counter[str] = Counter()
    for message in messages:
        reason = rules.reason_against(message)
        if reason:
            left_out[reason] += 1
        else:
            kept.append(message)
    return kept, left_out


__all__ = ["LOCKED", "Rules", "select"]
