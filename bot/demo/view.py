"""What one member sees, as plain JSON for the page: messages, channels, people, commands.

Ids become strings, since JavaScript's numbers are exact up to 53 bits and ids have 64. Knows the world and
simcord's records; knows nothing of how the page shows them or how they get there.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import discord
from simcord import ChannelHandle, MemberActor
from simcord.backend.access import channel_accessible, message_accessible
from simcord.backend.cdn import CDN_BASE
from simcord.backend.models import Message
from simcord.enums import OptionType

from bot.demo.options import available_commands
from bot.demo.world import World

JSON = dict[str, Any]
PAGE_SIZE = 100
"""How many messages the page loads at once; it asks for older ones as somebody scrolls."""
LOADING = 1 << 7
"""Discord's flag for the response to a deferred command: "thinking"."""
KINDS = {
    OptionType.STRING: "string",
    OptionType.INTEGER: "integer",
    OptionType.NUMBER: "number",
    OptionType.BOOLEAN: "boolean",
    OptionType.USER: "user",
    OptionType.CHANNEL: "channel",
}
LIMITS = ("min_value", "max_value", "min_length", "max_length")


def snapshot(world: World, viewer: MemberActor) -> JSON:
    """Return everything that the page shows to ``viewer`` when it opens."""
    channels = [
        channel_view(world, viewer, channel)
        for channel in (*world.stage.channels.values(), viewer.user.dm_channel)
        if channel_accessible(world.env.backend, channel.id, viewer.id)
    ]
    return {
        "guild": {"id": str(world.guild_id), "name": world.stage.guild.name},
        "bot": str(world.bot_id),
        "viewer": str(viewer.id),
        "channels": channels,
        "people": people(world),
        "messages": {channel["id"]: history(world, viewer, int(channel["id"])) for channel in channels},
        "clock": clock_view(world),
        "night": world.night_text,
        "comparison": world.comparison,
    }


def clock_view(world: World) -> JSON:
    return {
        "now": world.clock.now().isoformat(),
        "next": world.next_night_time().isoformat(),
        "running": world.is_night,
    }


def channel_view(world: World, viewer: MemberActor, channel: ChannelHandle) -> JSON:
    stored = world.env.backend.channels[channel.id]
    direct = channel.guild is None
    return {
        "id": str(channel.id),
        "name": world.env.backend.bot_user.name if direct else channel.name,
        "topic": "Only the two of you" if direct else stored.topic or "",
        "kind": "dm" if direct else "private" if channel.id == world.stage.admin_channel_id else "text",
        "writable": direct or _may_write(world, viewer, channel.id),
    }


def _may_write(world: World, viewer: MemberActor, channel_id: int) -> bool:
    granted = world.env.backend.compute_permissions(world.guild_id, viewer.id, channel_id)
    return bool(granted & discord.Permissions.send_messages.flag)


def people(world: World) -> dict[str, JSON]:
    """Return everybody who writes here, by id; the bot under test and the owner are marked."""
    found = {}
    for id_ in world.env.backend.guilds[world.guild_id].members:
        user = world.env.backend.users[id_]
        found[str(id_)] = {
            "id": str(id_),
            "name": user.global_name or user.name,
            "colour": world.stage.colours.get(id_, "#5865f2"),
            "bot": user.bot,
            "admin": id_ == world.stage.owner_id,
            "playable": id_ in world.stage.members,
        }
    return found


def history(world: World, viewer: MemberActor, channel_id: int, before: int | None = None) -> list[JSON]:
    """Return the newest messages of a channel that ``viewer`` may see, oldest first."""
    stored = world.env.backend.messages.get(channel_id, {})
    seen = [
        message
        for id_, message in sorted(stored.items())
        if (before is None or id_ < before) and is_visible(world, viewer, message)
    ]
    return [message_view(world, message) for message in seen[-PAGE_SIZE:]]


def is_visible(world: World, viewer: MemberActor, message: Message) -> bool:
    return message_accessible(world.env.backend, message.channel_id, message, viewer.id, history=True)


def message_view(world: World, message: Message) -> JSON:
    """Return one message as the page shows it."""
    embeds = [_embed(embed, message) for embed in message.embeds]
    used = {url for embed in embeds for url in (embed.get("image"), embed.get("thumbnail")) if url}
    files = [_attachment(attachment) for attachment in message.attachments]
    return {
        "id": str(message.id),
        "channel": str(message.channel_id),
        "author": str(message.author_id),
        "content": message.content,
        "at": message.timestamp,
        "edited": message.edited_timestamp is not None and message.author_id in world.stage.members,
        "reply": _reply(world, message),
        "command": _command(world, message),
        "loading": bool(message.flags & LOADING),
        "ephemeral": message.is_ephemeral,
        "embeds": embeds,
        "components": [_local_media(component) for component in message.components],
        "attachments": [file for file in files if file["url"] not in used],
        "reactions": [
            {"emoji": reaction.emoji, "users": [str(id_) for id_ in reaction.user_ids]}
            for reaction in message.reactions
        ],
    }


def _reply(world: World, message: Message) -> JSON | None:
    if message.reference is None or message.reference.get("type", 0) != 0:
        return None
    id_ = int(message.reference["message_id"])
    target = world.env.backend.messages[message.channel_id].get(id_)
    if target is None:
        return {"id": str(id_), "author": None, "content": ""}
    return {"id": str(id_), "author": str(target.author_id), "content": target.content[:200]}


def _command(world: World, message: Message) -> JSON | None:
    metadata = message.interaction_metadata
    # A message that refers to another one is a follow-up, below a response that names the command.
    if metadata is None or message.reference is not None:
        return None
    return {
        "user": str(metadata["user"]["id"]),
        "kind": int(metadata["type"]),
        "name": world.env.backend.command_paths.get(int(metadata["id"])),
    }


def _embed(embed: Mapping[str, Any], message: Message) -> JSON:
    shown: JSON = {
        key: embed[key]
        for key in ("title", "description", "color", "fields", "footer", "author", "timestamp", "url")
        if embed.get(key) is not None
    }
    for key in ("image", "thumbnail"):
        if embed.get(key):
            shown[key] = _local(embed[key]["url"], message)
    return shown


def _attachment(attachment: Mapping[str, Any]) -> JSON:
    return {
        "name": attachment["filename"],
        "size": attachment["size"],
        "image": str(attachment["content_type"]).startswith("image/"),
        "url": _local(attachment["url"]),
    }


def _local(url: str, message: Message | None = None) -> str:
    """Return where the page's own server has a file of the local Discord; a page fetches nothing else."""
    if url.startswith("attachment://") and message is not None:
        name = url.removeprefix("attachment://")
        url = next((file["url"] for file in message.attachments if file["filename"] == name), "")
    return "files" + quote(url.removeprefix(CDN_BASE)) if url.startswith(CDN_BASE) else ""


def _local_media(component: Any) -> Any:
    if isinstance(component, list):
        return [_local_media(part) for part in component]
    if isinstance(component, Mapping):
        return {
            key: _local(value) if key == "url" and str(value).startswith(CDN_BASE) else _local_media(value)
            for key, value in component.items()
        }
    return component


def file_url(path: str) -> str:
    """Return the local Discord's address of a file that the page asks for."""
    return CDN_BASE + "/" + unquote(path)


def content_type(url: str) -> str:
    """Return the kind of file at an address, by its ending."""
    return mimetypes.guess_type(url)[0] or "application/octet-stream"


def commands(world: World, viewer: MemberActor, channel: ChannelHandle) -> list[JSON]:
    """Return the slash commands that ``viewer`` may run in ``channel``, with their options."""
    return [
        {
            "name": name,
            "description": leaf.get("description", ""),
            "options": [_option(option) for option in leaf.get("options") or []],
        }
        for name, leaf in available_commands(world.env, viewer, channel)
    ]


def _option(option: Mapping[str, Any]) -> JSON:
    return {
        "name": option["name"],
        "description": option.get("description", ""),
        "kind": KINDS.get(OptionType(option["type"]), "string"),
        "required": bool(option.get("required")),
        "choices": [{"name": c["name"], "value": c["value"]} for c in option.get("choices") or []],
        "autocomplete": bool(option.get("autocomplete")),
        **{limit: option[limit] for limit in LIMITS if option.get(limit) is not None},
    }


__all__ = [
    "clock_view",
    "commands",
    "content_type",
    "file_url",
    "history",
    "is_visible",
    "message_view",
    "snapshot",
]
