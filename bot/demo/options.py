"""Slash-command options: from what a person typed to what simcord takes, by the command's own schema.

Knows simcord's catalogue of registered commands; runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simcord import ChannelHandle, MemberActor, SetupError
from simcord.enums import OptionType
from simcord.interactions import command_leaves, parse_option_input

from bot.demo.live import LiveEnv
from bot.demo.stage import Stage

PARSED = (OptionType.STRING, OptionType.INTEGER, OptionType.NUMBER, OptionType.BOOLEAN)


def available_commands(
    env: LiveEnv, member: MemberActor, channel: ChannelHandle
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield ``("train start", schema)`` for each command that the member may run there.

    Leaves out commands that take a file: the page has no way to provide one.
    """
    for command in env.backend.visible_commands(user_id=member.id, channel_id=channel.id):
        for path, leaf in command_leaves(command):
            if all(option["type"] != OptionType.ATTACHMENT for option in leaf.get("options") or []):
                yield " ".join(path), leaf


def typed_options(
    env: LiveEnv,
    stage: Stage,
    member: MemberActor,
    channel: ChannelHandle,
    command: str,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the options as simcord takes them: numbers as numbers, members and channels as handles.

    Raises:
        SetupError: the command has no such option, or the value does not fit it.
    """
    leaf = dict(available_commands(env, member, channel)).get(command)
    if leaf is None:
        return dict(given)  # simcord will say why the member cannot run it
    declared = {option["name"]: option for option in leaf.get("options") or []}
    unknown = given.keys() - declared.keys()
    if unknown:
        raise SetupError(f"/{command} has no option {sorted(unknown)[0]!r}")
    return {name: _typed(stage, command, declared[name], value) for name, value in given.items()}


def _typed(stage: Stage, command: str, option: Mapping[str, Any], value: Any) -> Any:
    kind = option["type"]
    if kind == OptionType.CHANNEL:
        return next(
            (handle for id_, handle in stage.channels.items() if str(value) in (str(id_), handle.name)), value
        )
    if kind == OptionType.USER:
        return stage.member(int(value) if str(value).isdecimal() else value)
    if kind in PARSED and isinstance(value, str):
        return parse_option_input(command, dict(option), value)
    return value


__all__ = ["available_commands", "typed_options"]
