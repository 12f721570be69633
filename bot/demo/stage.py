"""The sample server in a local Discord, before the bot connects: guild, channels, people, messages.

Guild, channels, people and messages keep the ids of the exports. So what ``trainer import`` read from the
same files and what is said live belong to the same channels and people. This file knows the exports' shape
and simcord's builders; it starts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import discord
from simcord import ChannelHandle, GuildHandle, MemberActor, SetupError, UserHandle
from simcord.backend.models import Message, Reaction

from bot.demo.live import LiveEnv

Export = Mapping[str, Any]
DEFAULT_COLOUR = "#95a5a6"
REPLY = 19


@dataclass(frozen=True, slots=True)
class Stage:
    """What the local Discord holds; everything by id."""

    guild: GuildHandle
    owner_id: int
    admin_channel_id: int
    channels: dict[int, ChannelHandle]
    members: dict[int, MemberActor]
    colours: dict[int, str]

    def member(self, who: int | str) -> MemberActor:
        """Return a member by id or name.

        Raises:
            SetupError: nobody of that id or name is here.
        """
        for id_, member in self.members.items():
            if who in (id_, member.name):
                return member
        raise SetupError(f"there is no member {who!r} here; the members are {', '.join(self.names())}")

    def names(self) -> list[str]:
        return [member.name for member in self.members.values()]


def set_stage(
    env: LiveEnv,
    exports: Sequence[Export],
    *,
    owner: str,
    admin_channel: str,
    bot_name: str,
    history: timedelta,
) -> Stage:
    """Build the exports' guild in ``env``, with the last ``history`` of each channel's messages."""
    backend = env.backend
    backend.bot_user.name = bot_name
    authors = _authors(exports)
    users = {id_: _user(env, id_, author) for id_, author in authors.items()}
    owner_id = next((id_ for id_, author in authors.items() if author["name"] == owner), next(iter(users)))
    guild = env.create_guild(
        exports[0]["guild"]["name"], id=int(exports[0]["guild"]["id"]), owner=users[owner_id]
    )
    for id_, user in users.items():
        if id_ != owner_id:
            guild.add_member(user)
    channels = {}
    for export in exports:
        with backend.given_id(int(export["channel"]["id"])):
            channel = guild.create_text_channel(export["channel"]["name"], topic=export["channel"]["topic"])
        channels[channel.id] = channel
        _load_history(env, channel.id, export["messages"], history)
    private = _private_channel(env, guild, admin_channel)
    return Stage(
        guild=guild,
        owner_id=owner_id,
        admin_channel_id=private.id,
        channels={**channels, private.id: private},
        members={id_: MemberActor(env, guild, user) for id_, user in users.items() if not user.bot},
        colours={id_: author.get("color") or DEFAULT_COLOUR for id_, author in authors.items()},
    )


def _authors(exports: Iterable[Export]) -> dict[int, Mapping[str, Any]]:
    found: dict[int, Mapping[str, Any]] = {}
    for export in exports:
        for message in export["messages"]:
            found.setdefault(int(message["author"]["id"]), message["author"])
    return found


def _user(env: LiveEnv, id_: int, author: Mapping[str, Any]) -> UserHandle:
    with env.backend.given_id(id_):
        return env.create_user(author["name"], bot=author["isBot"])


def _private_channel(env: LiveEnv, guild: GuildHandle, name: str) -> ChannelHandle:
    """Create the admins' channel: the owner sees it anyway, and only the bot is let in."""
    return guild.create_text_channel(
        name,
        topic="Reports of the night; admins only",
        overwrites={
            guild.default_role: discord.PermissionOverwrite(view_channel=False),
            UserHandle(env, env.backend.bot_user): discord.PermissionOverwrite(view_channel=True),
        },
    )


def _load_history(
    env: LiveEnv, channel_id: int, exported: Sequence[Mapping[str, Any]], history: timedelta
) -> None:
    if not exported:
        return
    since = datetime.fromisoformat(exported[-1]["timestamp"]) - history
    # Straight into simcord's store: sending them would announce each one to the bot.
    store = env.backend.messages[channel_id]
    for record in exported:
        if datetime.fromisoformat(record["timestamp"]) > since:
            message = _message(record, channel_id)
            store[env.backend.reserve_id(message.id)] = message
            env.backend.channels[channel_id].last_message_id = message.id


def _message(record: Mapping[str, Any], channel_id: int) -> Message:
    mentions = {mention["name"]: int(mention["id"]) for mention in record["mentions"]}
    content = record["content"]
    # Exports spell mentions out; Discord, and so the bot, knows them by id.
    for name, id_ in mentions.items():
        content = content.replace(f"@{name}", f"<@{id_}>")
    replied = record.get("reference")
    return Message(
        id=int(record["id"]),
        channel_id=channel_id,
        author_id=int(record["author"]["id"]),
        content=content,
        timestamp=record["timestamp"],
        type=REPLY if replied else 0,
        mention_user_ids=list(mentions.values()),
        reference={"type": 0, "channel_id": str(channel_id), "message_id": replied["messageId"]}
        if replied
        else None,
        reactions=[
            Reaction(reaction["emoji"]["name"], [int(user["id"]) for user in reaction["users"]])
            for reaction in record["reactions"]
        ],
    )


__all__ = ["Export", "Stage", "set_stage"]
