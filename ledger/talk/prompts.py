"""From a conversation to chat messages: the one form in which the model is taught and asked.

Pure functions over records; knows no tokenizer. Every message is a turn of its own, ``Name: text``, and
roles alternate, counted back from the answer, whoever speaks: every chat template accepts that, each
message can be learned where it stands, and the bot is asked by an assistant's turn that begins with its
name. So it answers as itself, and learns from everybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from ledger.records import Message

_MENTION = re.compile(r"<@[!&]?(\d+)>")
_CHANNEL = re.compile(r"<#\d+>")
_EMOJI = re.compile(r"<a?:(\w+):\d+>")
_CONTROL = re.compile(
    r"<\|[^|<>\s]{1,64}\|>"  # ChatML, Llama 3, Phi, Zephyr, Cohere: <|im_start|>, <|eot_id|>, <|user|>
    r"|<\uff5c[^\uff5c<>\s]{1,64}\uff5c>"  # DeepSeek, with full-width bars
    r"|</?(?:s|bos|eos|pad|unk|mask|cls|sep|sop|eop)>"  # SentencePiece and its heirs
    r"|<(?:start|end)_of_(?:turn|image|text)>"  # Gemma
    r"|</?(?:think|tool_call|tool_response|tools|image|audio|fim_(?:prefix|middle|suffix))>"  # Qwen
    r"|<</?SYS>>"  # Llama 2
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|IMG|gMASK)\]",  # Mistral
    re.IGNORECASE,
)
"""What chat templates and tokenizers of the common families take for their own."""
_LED = re.compile(r"[^:\n]{1,40}:(?:[\s*_]|$)")
"""A line that seems to begin with somebody's name."""
_FRONT = re.compile(r"[^:\n]{1,40}: ")
"""The name in front of a turn's text."""
_BREAKS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


FORM = "named turns"
"""What this form is called in the manifest of a version that learned in it."""


OPENING = "someone: hm?"
"""What a message is an answer to that answers nobody: templates want the user to begin."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Where one message's own words stand in a turn: characters ``start`` to ``end`` of its content.

    A name in front is not of its words; the space behind the name is, since tokenizers join it to them.
    """

    message: int
    start: int
    end: int


class Turn(TypedDict):
    """One chat message in OpenAI's form."""

    role: Literal["system", "user", "assistant"]
    content: str
    name: NotRequired[str]


def system_prompt(*, bot_name: str, guild_name: str) -> str:
    """Return the first turn's text; short, since every example pays for it."""
    # Of nine forms of the prompt, one of the two with 95 sane answers of 100, and the shorter one.
    return harmless(
        f"You are {bot_name}, a helpful and friendly member of the chat {guild_name}. Keep answers short."
    )


def readable(content: str, names: Mapping[int, str]) -> str:
    """Return ``content`` as people see it: mentions by name, custom emoji as ``:name:``."""
    content = _MENTION.sub(lambda found: "@" + names.get(int(found[1]), "someone"), content)
    return _EMOJI.sub(r":\1:", _CHANNEL.sub("#channel", content)).strip()


def harmless(text: str) -> str:
    """Return ``text`` without a control token: a blank behind the first character makes plain text of it.

    Done where prompts and examples are made, since an engine elsewhere, such as vLLM, reads a written
    ``<|im_end|>`` as the end of a turn. Nightschool's own does it again for its base's own tokens.
    """
    return _CONTROL.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


def speaker(name: str) -> str:
    """Return a name that can lead a line: no line break, no colon, at most 32 characters.

    A display name is somebody's free text; without this it could imitate other speakers' lines.
    """
    return harmless(" ".join(name.replace(":", " ").split()))[:32].strip() or "someone"


def called(name: str, bot_name: str) -> str:
    """Return the name in which somebody else than the bot is read.

    The bot's words are known by its name alone: nobody else may speak, or teach, in it.
    """
    return f"another {bot_name}" if speaker(name).casefold() == speaker(bot_name).casefold() else name


def spoken(messages: Iterable[Message], names: Mapping[int, str]) -> list[Message]:
    """Return the messages that have text to read."""
    return [message for message in messages if readable(message.content, names)]


def to_chat(
    messages: Sequence[Message],
    *,
    bot_name: str,
    guild_name: str,
    names: Mapping[int, str] | None = None,
) -> tuple[list[Turn], list[list[Piece]]]:
    """Return the turns, and for each turn where the messages that it is made of stand in it.

    The last message is the assistant's; one that stands alone is the user's, because templates want the
    user to begin. Messages without text are left out.
    """
    kept = spoken(messages, names or {})
    lines = [_line(message, names or {}) for message in kept]
    turns, places = _alternating(lines)
    parts: list[list[Piece]] = [[] for _ in turns]
    for message, (turn, start, end) in zip(kept, places, strict=True):
        front = len(speaker(message.author_name)) + 1
        parts[turn].append(Piece(message.id, start + front, end))
    return [_system_turn(bot_name, guild_name), *turns], [[], *parts]


def to_prompt(
    messages: Sequence[Message],
    *,
    bot_name: str,
    guild_name: str,
    names: Mapping[int, str] | None = None,
) -> list[Turn]:
    """Return the turns that ask the bot: the last is its answer, begun with its name.

    It is the beginning of :func:`to_chat` of the same messages and an answer of the bot's.
    """
    lines = [_line(message, names or {}) for message in spoken(messages, names or {})]
    turns, _ = _alternating(lines, more=1)
    return [_system_turn(bot_name, guild_name), *turns, {"role": "assistant", "content": begun(bot_name)}]


def begun(bot_name: str) -> str:
    """Return how an answer of the bot's begins."""
    return f"{speaker(bot_name)}:"


def in_chair(turns: Sequence[Turn]) -> list[Turn]:
    """Return a prompt as an untaught model knows chats: what it said itself is the assistant's, and no more.

    Others' lines are the user's, without a name while one person alone speaks to it. Of 100 questions the
    small base answers all sanely in this form and 96 in a begun turn; a version of ours reads it worse.
    Turns that end in no begun answer stay what they are.
    """
    front = turns[-1]["content"] if turns and turns[-1]["role"] == "assistant" else ""
    if not front.endswith(":"):
        return list(turns)
    head = [turn for turn in turns[:1] if turn["role"] == "system"]
    lines = [line.partition(": ") for line in _lines(turns[len(head) : -1])]
    others = {name for name, _, _ in lines if f"{name}:" != front}
    found: list[Turn] = []
    for name, colon, text in lines:
        # Templates want the user to begin, so what the bot said before anybody else is a user's line.
        mine = bool(colon and found) and f"{name}:" == front
        alone = len(others) == 1 and name in others and not _LED.match(text)
        line = text if mine or (alone and colon) else f"{name}{colon}{text}"
        role: Literal["user", "assistant"] = "assistant" if mine else "user"
        if found and found[-1]["role"] == role:
            found[-1]["content"] += f"\n{line}"
        else:
            found.append({"role": role, "content": line})
    return [*head, *found]


def _lines(turns: Sequence[Turn]) -> list[str]:
    """Return the messages that these turns hold, without a system turn; only the first holds two of them."""
    # The first user turn has a line a message: none of those holds a line break.
    return [*turns[0]["content"].split("\n"), *(each["content"] for each in turns[1:])] if turns else []


def asked(turns: Sequence[Turn], target: tuple[int, int, int], beginning: str = "") -> list[Turn]:
    """Return the prompt that a message of these turns answers, as if it were the bot's answer.

    ``target`` are its words: index of the turn, from where to where. The answer is begun with ``beginning``,
    else with the name that stands there. Where a user's turn holds it, roles are counted back from it anew;
    what opens a conversation answers :data:`OPENING`.
    """
    turn, start, end = target
    content = turns[turn]["content"]
    before = list(turns[:turn])
    if turns[turn]["role"] == "user":
        head = [each for each in turns[:1] if each["role"] == "system"]
        lines = _lines(turns[len(head) : turn])
        if turn == len(head):
            lines = _lines(turns[turn : turn + 1])[: content.count("\n", 0, end)]
        before = head + _alternating(lines, more=1)[0]
    if not before or before[-1]["role"] == "system":
        before.append({"role": "user", "content": OPENING})
    front = beginning or content[:start].rpartition("\n")[2]
    return [*before, {"role": "assistant", "content": front}] if front else before


def _system_turn(bot_name: str, guild_name: str) -> Turn:
    return {"role": "system", "content": system_prompt(bot_name=bot_name, guild_name=guild_name)}


def _line(message: Message, names: Mapping[int, str]) -> str:
    """Return a message as ``Name: text``.

    A line break stays, unless what follows could pass for a line of somebody else.
    """
    text = harmless(readable(message.content, names))
    if any(_LED.match(line.strip()) for line in text.splitlines()[1:]):
        text = _BREAKS.sub(" ", text)
    return f"{speaker(message.author_name)}: {text}"


def _alternating(lines: Sequence[str], *, more: int = 0) -> tuple[list[Turn], list[tuple[int, int, int]]]:
    """Return turns of the lines, and for each line its turn, and from where to where it stands in it.

    Roles alternate so that the last line, or the one that is ``more``, is the assistant's. Where the first
    would be as well, the first two share a user turn: templates want the user to begin.
    """
    count = len(lines) + more
    shared = 2 if count > 1 and count % 2 else 1
    turns: list[Turn] = []
    places: list[tuple[int, int, int]] = []
    for index, line in enumerate(lines):
        if index < shared:
            # In the first turn a line is a message, so that the two can be told apart again.
            line = _BREAKS.sub(" ", line)
        if index and index < shared:
            start = len(turns[0]["content"]) + 1
            turns[0]["content"] += f"\n{line}"
        else:
            start = 0
            assistant = bool(turns) and (count - 1 - index) % 2 == 0
            turns.append({"role": "assistant" if assistant else "user", "content": line})
        places.append((len(turns) - 1, start, start + len(line)))
    return turns, places


def shortened(turns: Sequence[Turn], *, max_characters: int) -> list[Turn]:
    """Return the turns without the oldest ones, so that their text has at most ``max_characters``.

    The system turn, the question and the begun answer behind it stay; a question that is too long alone
    loses the beginning of its text, and keeps its writer's name.
    """
    system, rest, answer = list(turns[:1]), list(turns[1:]), []
    whole = len(rest)
    if len(rest) > 1 and rest[-1]["role"] == "assistant":
        answer = [rest.pop()]
    room = max_characters - sum(len(turn["content"]) for turn in (*system, *answer))
    while len(rest) > 1 and sum(len(turn["content"]) for turn in rest) > room:
        rest.pop(0)
    # Chat templates want the user to begin.
    while len(rest) > 1 and rest[0]["role"] == "assistant":
        rest.pop(0)
    if rest and len(rest) + len(answer) < whole:
        # In the first turn a line is a message.
        rest[0] = {**rest[0], "content": _BREAKS.sub(" ", rest[0]["content"])}
    if rest and len(rest[-1]["content"]) > room:
        # All that is left is the first turn, which may hold two messages.
        text = rest[-1]["content"].rpartition("\n")[2]
        found = _FRONT.match(text)
        front = found[0] if found and found.end() < room else ""
        # At least one character: [-0:] would be the whole text.
        rest[-1] = {**rest[-1], "content": front + text[len(front) :][-max(room - len(front), 1) :]}
    return system + rest + answer
