"""What the ledger hands out and takes in: plain frozen records without behaviour.

All times are milliseconds since the epoch, UTC; all ids are Discord's snowflakes, or numbers of
the same size where an import had none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NewType

ChannelMode = Literal["listen", "answer", "ignore"]
Stage = Literal[
    "planned", "prepared", "fitted", "evaluated", "promoted", "kept", "skipped", "failed", "cancelled"
]
AdapterState = Literal["candidate", "champion", "previous", "retired", "deleted"]
Role = Literal["target", "context", "validation", "exam", "fresh"]
"""How a run used a message: as a target, beside one, to choose the epoch, or to score alone."""
ROLES: tuple[Role, ...] = ("target", "context", "validation", "exam", "fresh")
"""From learned most to least; the first three had a part in what a version became."""
LEARNED = ROLES[:3]
Source = Literal["discord", "local", "import", "jsonl", "package", "example"]
"""How a message came here: heard in Discord or in the demo's Discord, from an export, from JSON lines,
out of its author's own data package, or taught by an admin."""
Basis = NewType("Basis", str)
"""Why a message may be kept: its author's own consent, or the ground that an operator stated, in their
words. :mod:`ledger.people.policy` makes and judges them."""

LOCKED = "locked by policy until Discord permits it"
"""Reason under which a night counts what the policy lock left out."""

NOT_STORED = Basis("")
"""Basis of a message that is only read, such as a question's context."""

OPT_IN = Basis("opt-in")
"""Basis of what is kept because its author agreed."""

PACKAGE_BASIS = Basis("data-package")
"""Basis of what a member handed in as their own data package."""

FINAL_STAGES: frozenset[str] = frozenset({"promoted", "kept", "skipped", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it was written; ``content`` may hold Discord's raw ``<@id>`` mentions."""

    id: int
    guild_id: int
    channel_id: int
    author_id: int
    author_name: str
    content: str
    created_at: int
    reply_to: int | None = None
    edited_at: int | None = None
    mentions: tuple[int, ...] = ()
    source: Source = "discord"
    basis: Basis = NOT_STORED
    imported_at: int | None = None
    """When an import brought it; its time to be kept counts from then on."""
    is_bot: bool = False
    conversation: int | None = None
    """Number of the stored conversation that it belongs to; None until it is sorted into one."""


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """What the ledger knows of a conversation without reading it."""

    number: int
    place: float
    """Where a keyed hash put it in [0, 1): which part of a dataset it belongs to."""
    ended_at: int
    messages: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages of one channel that belong together, oldest first."""

    channel_id: int
    channel_name: str
    messages: tuple[Message, ...]

    @property
    def started_at(self) -> int:
        return self.messages[0].created_at

    @property
    def ended_at(self) -> int:
        return self.messages[-1].created_at


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel and what the bot does in it."""

    id: int
    guild_id: int
    name: str
    mode: ChannelMode
    chosen: bool = False
    """Whether an admin set the mode; otherwise it is what followed from the permissions at the time."""
    parent_id: int | None = None
    """A thread's channel."""


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One change of one member's consent; the newest is in force."""

    guild_id: int
    user_id: int
    granted: bool
    channels: tuple[int, ...]
    """Channels that the consent is limited to; empty: all that the guild lets the bot learn from."""
    wording: str
    at: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """A yes that is in force, and its number in the history of answers."""

    number: int
    word: ConsentEvent


@dataclass(frozen=True, slots=True)
class Heard:
    """A message to keep, with what is stored about its guild and channel."""

    message: Message
    guild_name: str
    channel_name: str
    mode: ChannelMode
    parent_id: int | None
    agreement: int
    """Number of the answer by which its author agreed; a no after it outweighs any later yes."""


@dataclass(frozen=True, slots=True)
class BackupFolder:
    """A folder that holds backups, and the last deletion and the last answer that are noted there."""

    path: str
    deletions_up_to: int
    answers_up_to: int


@dataclass(frozen=True, slots=True)
class BotAnswer:
    """One of the bot's own answers; ``content`` is empty unless all that it was made of may be kept."""

    message_id: int
    guild_id: int
    channel_id: int
    asked_by: int
    in_reply_to: int | None
    content: str
    adapter_version: str | None
    created_at: int
    part_of: int | None = None
    """The first message of a long answer, where its text stands, if this is another one."""


@dataclass(frozen=True, slots=True)
class Reaction:
    """One emoji that somebody put under one of the bot's answers."""

    message_id: int
    emoji: str
    at: int


@dataclass(frozen=True, slots=True)
class Run:
    """One night's work."""

    id: str
    guild_id: int
    stage: Stage
    trigger: str
    created_at: int
    finished_at: int | None = None
    candidate: str | None = None
    champion: str | None = None
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    counts: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    reported_at: int | None = None

    @property
    def finished(self) -> bool:
        return self.stage in FINAL_STAGES


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter version of one guild."""

    version: str
    guild_id: int
    run_id: str
    path: str
    base_model: str
    created_at: int
    state: AdapterState
    metrics: Mapping[str, Any] = field(default_factory=dict)
    parent: str | None = None
    """The version that its fit started from; None for the bare base."""
