"""How much of whom a night learns: nobody's voice drowns the rest, and nobody's is lost.

Pure functions over numbers. The cap is a share of what the night learns in all, replay included: of a
single day's new messages the busiest person often wrote a third without drowning anybody.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

Target = tuple[int, int, int]
"""A message to learn: its author, its conversation, and its tokens."""
NEWCOMERS = -1
"""The one voice that accounts share while they are new."""


def within_share(
    targets: Sequence[Target],
    *,
    share: float,
    budget: int | None = None,
    seed: int = 0,
    beside: Mapping[int, int] | None = None,
    newcomers: Collection[int] = (),
) -> list[int]:
    """Return the indices of the targets to keep, in order.

    - No voice gets more than ``share`` of all kept tokens. ``beside`` is what the night learns anyway, as
      tokens by author (0: general text, or replay yet to be drawn); it counts towards the whole, and
      towards its author's part.
    - A voice is a person; all ``newcomers`` together are one, so that five new accounts get one person's
      share. Where everybody is new they are people like others.
    - Where fewer than ``ceil(1 / share)`` voices speak, the cap would leave next to nothing. There nobody
      gets more than an equal part of what they said together: of two friends who wrote 900 and 100
      tokens, 500 and 100 stay.
    - Where ``budget`` (tokens) does not hold all, voices are filled up to one level, and each voice's part
      is drawn evenly from its people and their conversations.
    - A message is never cut: who has said only more than fits keeps the shortest message, if the budget
      allows it, and that alone may exceed the share.

    The same targets, seed and limits give the same choice.
    """
    beside = beside or {}
    voices = _voices(targets, newcomers, seed)
    if not voices:
        return []
    room = sum(t for _, _, t in targets) if budget is None else budget
    old = Counter({voice: beside.get(voice, 0) for voice in voices})
    if NEWCOMERS in voices:
        old[NEWCOMERS] = sum(beside.get(person, 0) for person in set(newcomers))
    demands = {voice: sum(targets[i][2] for i in queue) for voice, queue in voices.items()}
    rest = sum(beside.values())
    level = cap(demands, share=share, rest=rest, old=old)
    kept = _filled(voices, targets, old, level, room)
    if len(voices) >= math.ceil(1 / share):
        _trim(kept, targets, old, share, rest)
    return sorted(index for queue in kept.values() for index in queue)


def cap(demands: Mapping[int, int], *, share: float, rest: int, old: Mapping[int, int]) -> float:
    """Return the most tokens that one voice may have, what it has already (``old``) included.

    That is the largest level that is no more than ``share`` of all when everybody has at most the level;
    among few voices an equal part of what they said, where that is more.
    """
    wholes = sorted(old.get(voice, 0) + tokens for voice, tokens in demands.items())
    # Whose replay alone exceeds the level gets nothing new; what the night has of them stays in the whole.
    others = rest - sum(old.get(voice, 0) for voice in demands)
    few = len(wholes) < math.ceil(1 / share)
    best, below = sum(wholes) / len(wholes) if few else 0.0, float(others)
    for index, whole in enumerate([*wholes, math.inf]):
        above = len(wholes) - index
        floor = wholes[index - 1] if index else 0
        if share * above < 1:
            level = share * below / (1 - share * above)
            best = max(best, min(level, whole) if level >= floor else 0.0)
        else:
            best = max(best, whole)  # so many are as loud that each is below the share
        below += whole
    return best


def _voices(targets: Sequence[Target], newcomers: Collection[int], seed: int) -> dict[int, list[int]]:
    """Return each voice's targets in the order in which they are to be learned."""
    new = set(newcomers)
    people: defaultdict[int, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (author, conversation, _) in enumerate(targets):
        people[author][conversation].append(index)
    together = not new.issuperset(people)  # where everybody is new, nobody needs protection from them
    voices: dict[int, list[int]] = {}
    shared: dict[int, list[int]] = {}
    for author, talks in people.items():
        draw = random.Random(f"{seed}:{author}")  # noqa: S311 - a fair draw, not a secret
        queues = [draw.sample(queue, len(queue)) for queue in talks.values()]
        draw.shuffle(queues)
        (shared if together and author in new else voices)[author] = _in_turns(queues)
    if shared:
        voices[NEWCOMERS] = _in_turns(list(shared.values()))
    return voices


def _in_turns(queues: Sequence[Sequence[int]]) -> list[int]:
    """Return the first of each queue, then the second of each, and so on."""
    longest = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def _filled(
    voices: Mapping[int, Sequence[int]],
    targets: Sequence[Target],
    old: Mapping[int, int],
    level: float,
    room: int,
) -> dict[int, list[int]]:
    """Give the voice that has least its next message, until the room is full or all have their level."""
    kept: dict[int, list[int]] = {voice: [] for voice in voices}
    waiting = [(old[voice], voice, 0) for voice in voices]
    heapq.heapify(waiting)
    left_out: list[int] = []
    while waiting:
        tokens, voice, position = heapq.heappop(waiting)
        if position == len(voices[voice]):
            if not kept[voice] and not old[voice]:
                left_out.append(voice)
            continue
        index = voices[voice][position]
        size = targets[index][2]
        if tokens + size <= level and size <= room:
            kept[voice].append(index)
            tokens, room = tokens + size, room - size
        heapq.heappush(waiting, (tokens, voice, position + 1))
    for voice in left_out:
        shortest = min(voices[voice], key=lambda index: (targets[index][2], index))
        if targets[shortest][2] <= room:
            kept[voice].append(shortest)
            room -= targets[shortest][2]
    return kept


def _trim(
    kept: Mapping[int, list[int]], targets: Sequence[Target], old: Mapping[int, int], share: float, rest: int
) -> None:
    """Take messages back until the share holds: whole messages do not reach the level that was computed."""
    tokens = {voice: old[voice] + sum(targets[i][2] for i in queue) for voice, queue in kept.items()}
    whole = rest + sum(tokens.values()) - sum(old.values())
    over = True
    while over:
        over = False
        for voice, queue in kept.items():
            while len(queue) > 1 and tokens[voice] > share * whole:
                size = targets[queue.pop()][2]
                tokens[voice] -= size
                whole -= size
                over = True


__all__ = ["NEWCOMERS", "cap", "within_share"]
