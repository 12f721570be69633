"""Who may be trying to spoil what a server learns tonight: new or changed, and harmful or unlike everybody.

Pure functions over records; scorers come as arguments. Nobody is suspected for being loud, since the cap of
:mod:`trainer.choosing.fairness` holds that, nor a long-standing member for swearing as always: that is the
server's voice. How many honest people the limits would have held stands in
``benchmarks/results/quarantine-2026-11-30.md``.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from ledger.people.quarantine import ABUSE, ONE_CLAIM, SLOGAN, STRANGE, UNLIKELY
from ledger.records import Message
from trainer.choosing.near_duplicates import weight
from trainer.choosing.server_past import ServerPast, phrases, spoken

Toxicity = Callable[[Sequence[str]], Sequence[float]]
"""Scores each text from 0 to 1."""

TOXIC = 0.5
NEW_ABUSE = (2, 0.2)
"""Toxic messages of a new account, and their share of its messages tonight, from which it is held: nobody in
two years of a civil server. From one message on, seven would have been."""
CHANGED_ABUSE = (8, 0.3)
"""The same for a member of longer standing."""
CHANGE = 4.0
"""How many times a member's own share of toxic messages before, and the server's, tonight's has to be."""
PAST_TEXTS = 200
"""Newest messages of a person's past that are scored to compare with."""
SLOGAN_ACCOUNTS = 3
CLAIM_MESSAGES = 6
CLAIM_SHARE = 0.6
CLAIM_WORDS = 2
CLAIM_RARE = 0.01
"""The same claim: two words that fewer than 1 % of the server's messages hold, both in 60 % of six or more
messages of at least four words."""
CLAIM_LENGTH = 4
STRANGE_WORDS = 30
STRANGE_SHARE = 0.45
"""Of a new account's words tonight, those that nobody else here has ever used; honest newcomers' share
was 0.31 at most."""
PASTE_WORDS = 25
PASTE_SHARE = 0.5
UNLIKELY_SPREADS = 6.0
UNLIKELY_NATS = 1.0
"""How far above the others' median a mean NLL has to be: in spreads (1.48 times the median deviation) and in
nats a token."""
UNLIKELY_OTHERS = 5


def suspects(
    tonight: Sequence[Message],
    past: ServerPast,
    *,
    now: int,
    toxicity: Toxicity,
    nll: Mapping[int, float] | None = None,
) -> dict[int, tuple[str, ...]]:
    """Return the codes of what speaks against a person tonight (:mod:`ledger.people.quarantine`), by author.

    ``past`` holds what was said before ``tonight``, without what quarantine leaves out: an attack that went
    on for weeks must not become what is usual. ``now`` is in milliseconds, and ``nll`` maps authors to
    the mean NLL of their messages under the version that serves, in nats a token.
    """
    people: defaultdict[int, list[Message]] = defaultdict(list)
    for message in sorted(tonight, key=lambda each: (each.created_at, each.id)):
        people[message.author_id].append(message)
    new = past.newcomers({who: said[0].created_at for who, said in people.items()}, now=now)
    found: defaultdict[int, list[str]] = defaultdict(list)
    for who in sorted(_abusive(people, past, new, toxicity)):
        found[who].append(ABUSE)
    for who in sorted(_sloganeers({person: people[person] for person in new}, past)):
        found[who].append(SLOGAN)
    for who in sorted(new):
        words = [spoken(message.content) for message in people[who]]
        if _one_claim(words, past):
            found[who].append(ONE_CLAIM)
        if _is_strange([word for each in words for word in each], who, past, STRANGE_WORDS, STRANGE_SHARE):
            found[who].append(STRANGE)
    for who in sorted(_unlikely(nll or {}) & new):
        found[who].append(UNLIKELY)
    return {who: tuple(codes) for who, codes in sorted(found.items())}


def pastes(tonight: Sequence[Message], past: ServerPast) -> set[int]:
    """Return the ids of long messages in words that nobody here uses, whoever wrote them.

    A text in another language is no target for it, and no reason to hold a member of long standing. Where
    the server itself begins to speak another language, its words are known within days.
    """
    return {
        message.id
        for message in tonight
        if _is_strange(spoken(message.content), message.author_id, past, PASTE_WORDS, PASTE_SHARE)
    }


def _abusive(
    people: Mapping[int, Sequence[Message]], past: ServerPast, new: set[int], toxicity: Toxicity
) -> set[int]:
    """Return who abuses, if new, or abuses far more than before."""
    said = [(who, message.content) for who, messages in people.items() for message in messages]
    toxic: Counter[int] = Counter()
    for (who, _), score in zip(said, toxicity([text for _, text in said]), strict=True):
        toxic[who] += score >= TOXIC
    found = set()
    for who, count in toxic.items():
        least, share = NEW_ABUSE if who in new else CHANGED_ABUSE
        if count < least or count < share * len(people[who]):
            continue
        # Scored only where there is something to compare. A new account's own past is no excuse.
        usual = _share(past.newest(PAST_TEXTS), toxicity)
        if who not in new:
            usual = max(usual, _share(past.texts.get(who, [])[-PAST_TEXTS:], toxicity))
        if count / len(people[who]) >= CHANGE * usual:
            found.add(who)
    return found


def _share(texts: Sequence[str], toxicity: Toxicity) -> float:
    """Return the share of toxic texts."""
    return sum(score >= TOXIC for score in toxicity(texts)) / len(texts) if texts else 0.0


def _sloganeers(people: Mapping[int, Sequence[Message]], past: ServerPast) -> set[int]:
    """Return the new accounts that share a wording with two others of them, which nobody used before."""
    users: defaultdict[int, set[int]] = defaultdict(set)
    for who, messages in people.items():
        for message in messages:
            for phrase in phrases(spoken(message.content)):
                users[phrase].add(who)
    return {
        who
        for phrase, accounts in users.items()
        if len(accounts) >= SLOGAN_ACCOUNTS and phrase not in past.phrases
        for who in accounts
    }


def _one_claim(words: Sequence[Sequence[str]], past: ServerPast) -> bool:
    """Tell whether the same rare words stand in most of somebody's messages."""
    long = [set(each) for each in words if weight(each) >= CLAIM_LENGTH]
    if len(long) < CLAIM_MESSAGES:
        return False
    shared = Counter(word for each in long for word in each)
    rare = [
        word
        for word, count in shared.items()
        if count >= CLAIM_SHARE * len(long) and past.heard[word] < CLAIM_RARE * past.count
    ]
    return len(rare) >= CLAIM_WORDS


def _is_strange(words: Sequence[str], author: int, past: ServerPast, least: int, share: float) -> bool:
    if not past.knows_its_language:
        return False
    plain = [word for word in words if not word.isdigit()]
    return len(plain) >= least and past.unknown(plain, author) >= share * len(plain)


def _unlikely(nll: Mapping[int, float]) -> set[int]:
    """Return whose mean NLL lies far above everybody's median."""
    if len(nll) <= UNLIKELY_OTHERS:
        return set()
    middle = statistics.median(nll.values())
    spread = 1.48 * statistics.median(abs(value - middle) for value in nll.values())
    limit = middle + max(UNLIKELY_SPREADS * spread, UNLIKELY_NATS)
    return {who for who, value in nll.items() if value > limit}


__all__ = ["Toxicity", "pastes", "suspects"]
