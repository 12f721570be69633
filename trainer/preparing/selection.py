"""Which stored messages may be learned from tonight, and why the others may not.

Pure functions over records. What is refused here is gone for good: it is neither a reply to learn nor
context that another reply is learned from. About a person :mod:`ledger.people.policy` decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ledger.people.policy import Objection, is_declared, is_locked, objection
from ledger.records import LOCKED, ConsentEvent, Message
from ledger.talk.bot_commands import calls_a_bot, has_prefix
from ledger.talk.prompts import readable

NO_CONSENT = "no consent in force"
OPTED_OUT = "opted out"
BOT = "written by bots"
COMMAND = "commands to bots"
EMPTY = "without text"
IGNORED = "in ignored channels"
WITHDRAWN = "by people who took something back during this night"

_OBJECTIONS: Mapping[Objection, str] = {"opted out": OPTED_OUT, "not agreed": NO_CONSENT}


@dataclass(frozen=True, slots=True)
class Rules:
    """What is in force tonight."""

    consent: Mapping[int, ConsentEvent]
    bots: Mapping[int, str]
    ignored_channels: Collection[int] = ()
    discord_permission: str = ""
    without: Collection[int] = ()
    """People who are left out tonight: they took something back while it was learned from."""
    _bot_names: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        names = {name.casefold(): bot for bot, name in self.bots.items()}
        object.__setattr__(self, "_bot_names", names)

    def reason_against(self, message: Message) -> str:
        """Return why ``message`` must be left out, or an empty text."""
        if message.is_bot or message.author_id in self.bots:
            return BOT
        if is_locked(message, self.discord_permission):
            return LOCKED
        if message.channel_id in self.ignored_channels:
            return IGNORED
        if message.author_id in self.without:
            return WITHDRAWN
        return self._consent(message) or self._content(message)

    def _consent(self, message: Message) -> str:
        word = self.consent.get(message.author_id)
        against = objection(word, message.channel_id, is_declared=is_declared(message))
        return _OBJECTIONS[against] if against else ""

    def _content(self, message: Message) -> str:
        text = readable(message.content, {})
        if not text:
            return EMPTY
        return COMMAND if self._is_command(message, text) else ""

    def _is_command(self, message: Message, text: str) -> bool:
        """Tell whether a bot was spoken to: "!roll", "/roll", "dicebot: roll", or a mention in front."""
        # The written text as well: in the readable one a mention has lost its number.
        called = (calls_a_bot(each, self._bot_names, self.bots) for each in (text, message.content.lstrip()))
        return has_prefix(text) or any(called)


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
