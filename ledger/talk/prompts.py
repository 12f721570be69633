"""From a conversation to chat messages: the one form in which the model is taught and asked.

Pure functions over records; knows no tokenizer. One participant sits in the assistant's chair: at
serving time the bot, in training each member whose replies are learned. What the others say between
two turns of the chair becomes one user turn with a line a message, so that roles alternate strictly,
which every chat template accepts. From the second writer on, lines begin with their writer's name: a
small model that is asked "Mira: what is 2+2?" begins its answer with a name, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
_NAMED = re.compile(r"[^:]{1,40}:(?:\s|$)")
_BREAKS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


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


def to_chat(
    messages: Sequence[Message],
    *,
    chair: int,
    bot_name: str,
    guild_name: str,
    names: Mapping[int, str] | None = None,
) -> tuple[list[Turn], list[list[Piece]]]:
    """Return the turns, and for each turn where the messages that it is made of stand in it.

    ``chair`` is the author id that speaks as the assistant. What it says before anybody else becomes
    lines like theirs, because templates want the user to begin. Messages without text are left out.
    Whether a line gets a name depends on it and the lines before it alone: what follows must not change
    the prompt that a window begins with.
    """
    names = names or {}
    turns: list[Turn] = [
        {"role": "system", "content": system_prompt(bot_name=bot_name, guild_name=guild_name)}
    ]
    parts: list[list[Piece]] = [[]]
    others_spoke = False
    writers: set[int] = set()
    for message in messages:
        text = harmless(readable(message.content, names))
        if not text:
            continue
        others_spoke = others_spoke or message.author_id != chair
        mine = message.author_id == chair and others_spoke
        role: Literal["user", "assistant"] = "assistant" if mine else "user"
        if mine:
            line, front = text, 0
        else:
            writers.add(message.author_id)
            named = len(writers) > 1 or message.author_id == chair
            # A line break in a message could begin a line that speaks for somebody else.
            text = _BREAKS.sub(" ", text)
            line = _line(speaker(message.author_name), text, named=named)
            front = max(len(line) - len(text) - 1, 0)
        begin = len(turns[-1]["content"]) + 1 if turns[-1]["role"] == role else 0
        piece = Piece(message.id, begin + front, begin + len(line))
        if begin:
            turns[-1]["content"] += f"\n{line}"
            parts[-1].append(piece)
        else:
            turns.append({"role": role, "content": line})
            parts.append([piece])
    return turns, parts


def _line(name: str, text: str, *, named: bool) -> str:
    """Return one line of a user turn; text that seems to begin with a name always gets its writer's."""
    return f"{name}: {text}" if named or _NAMED.match(text) else text


def shortened(turns: Sequence[Turn], *, max_characters: int) -> list[Turn]:
    """Return the turns without the oldest ones, so that their text has at most ``max_characters``.

    The system turn and the last turn stay; a last turn that is too long alone loses its beginning.
    """
    system, rest = list(turns[:1]), list(turns[1:])
    room = max_characters - sum(len(turn["content"]) for turn in system)
    while len(rest) > 1 and sum(len(turn["content"]) for turn in rest) > room:
        rest.pop(0)
    # Chat templates want the user to begin.
    while len(rest) > 1 and rest[0]["role"] == "assistant":
        rest.pop(0)
    if rest and len(rest[-1]["content"]) > room:
        last = rest[-1].copy()
        # At least one character: [-0:] would be the whole text.
        last["content"] = last["content"][-max(room, 1) :]
        rest[-1] = last
    return system + rest
