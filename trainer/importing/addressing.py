"""Who a line speaks to: "nick: …", "nick, …" and "@nick" looked up among a channel's authors.

Chat logs carry few reply references; their conversations come apart because people lead with a name. The
same survey finds what people say to bots: lead-ins that a bot answers at once nearly every time ("m: …",
"!roll …"). It keeps names and counts, no text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger.talk.bot_commands import REACH, calls_a_bot, led_by, named_at
from trainer.importing.message_drafts import ExportedChannel, MessageDraft

MIN_COMMANDS = 4
"""How often people must use a lead-in before it can count as a command."""
MIN_ANSWERED = 0.6
"""Share of a lead-in's lines that a bot answers in the very next message. On two years of a channel
with four bots, commands reach 0.62 to 1.0 and ordinary words at most 0.5 (base rate 0.11)."""
MAX_LEADS = 20_000
"""Different lead-ins counted in a channel, so that a log of noise cannot fill the memory."""

_LEAD = re.compile(r"([^\s:,]{1,32}:)|([!.$%&?;~^+/\\-])[A-Za-z]")
_AT = re.compile(r"(?<![\w@])@(?=\S)")


def lead_of(content: str) -> str:
    """Return the text's lead-in as commands have them ("m:", "!"), or an empty text."""
    found = _LEAD.match(content)
    return (found[1] or found[2]).casefold() if found else ""


@dataclass(slots=True)
class ChannelVoices:
    """What one channel's messages reveal about those who speak there."""

    names: dict[str, int] = field(default_factory=dict)
    bots: dict[int, str] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    last_lead: str = ""

    def hear(self, draft: MessageDraft) -> None:
        """Learn from one message; they come in the order in which the channel saw them."""
        message = draft.message
        for name in draft.names:
            # Whoever had the name first keeps it: later impostors must not draw others' replies to them.
            self.names.setdefault(name.casefold(), message.author_id)
        if message.is_bot:
            self.bots[message.author_id] = message.author_name
            self.answered[self.last_lead] += bool(self.last_lead)
            # A bot's second message in a row answers nobody: each command counts as answered once.
            self.last_lead = ""
            return
        self.last_lead = lead_of(message.content)
        if self.last_lead and (self.last_lead in self.used or len(self.used) < MAX_LEADS):
            self.used[self.last_lead] += 1

    def know(self, people: Mapping[int, str], bots: Mapping[int, str]) -> None:
        """Add people whose names are known from elsewhere; ``bots`` are those among them that are bots."""
        for person, name in people.items():
            self.names.setdefault(name.casefold(), person)
        self.bots |= bots

    def is_command(self, content: str) -> bool:
        """Tell whether the text leads with a bot's name, or with a lead-in that bots answer."""
        if calls_a_bot(content, self.names, self.bots):
            return True
        lead = lead_of(content)
        if not lead or lead[:-1] in self.names:
            return False  # a person's name: a bot may well answer for somebody who is away
        used = self.used[lead]
        return used >= MIN_COMMANDS and self.answered[lead] >= MIN_ANSWERED * used

    def addressed(self, content: str) -> tuple[int, ...]:
        """Return the ids of those whom the text leads with or mentions as "@name", in order."""
        found = dict.fromkeys(led_by(content, self.names))
        for at in _AT.finditer(content):
            named = named_at(content[at.end() : at.end() + REACH].casefold(), self.names)
            if named is not None:
                found[named] = None
        return tuple(found)


@dataclass(slots=True)
class Voices:
    """The voices of all channels in an import."""

    channels: dict[tuple[int, int], ChannelVoices] = field(default_factory=dict)

    def of(self, channel: ExportedChannel) -> ChannelVoices:
        """Return the voices of one channel; a new channel has none yet."""
        return self.channels.setdefault((channel.guild_id, channel.channel_id), ChannelVoices())
