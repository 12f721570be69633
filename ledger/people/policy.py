"""Who may be learned from, and on what ground: the one home of the rule, in SQL and in Python.

Nobody is learned from by default. A member's own word decides first, and a no outweighs everything; a
yes for some channels is a no for the others. Where a member was never asked, only what an operator
declared lawful to use may be taken. Beyond consent, the policy lock keeps away from training what came
through Discord's API, until Discord permits it. The SQL conditions exist because consent is looked up
in the transaction that writes: no answer can come in between. A test walks SQL and Python through one
table of cases.
"""

from __future__ import annotations

from typing import Literal

from ledger.records import NOT_STORED, OPT_IN, PACKAGE_BASIS, Basis, ConsentEvent, Message, Source

Objection = Literal["opted out", "not agreed"]
"""Why a member's words may not be kept or learned from."""

LIVE: Source = "discord"
"""Source of what the bot heard itself."""
_NEVER_THROUGH_THE_API: frozenset[Source] = frozenset({"package", "example", "local"})
_PERSONAL_BASES: frozenset[Basis] = frozenset({NOT_STORED, OPT_IN, PACKAGE_BASIS})
"""Bases that are the person's own consent; any other is somebody's declaration."""
_TAUGHT = "example by "


def declared(ground: str) -> Basis:
    """Return the basis of an import whose operator states ``ground``; an empty text declares nothing."""
    return Basis(ground)


def taught_by(author_id: int) -> Basis:
    """Return the basis of what an admin teaches; :func:`taught_by_any` finds it for a deletion."""
    return Basis(f"{_TAUGHT}{author_id}")


def taught_by_any(authors: str) -> str:
    """Return the SQL condition that one of ``authors``, a JSON array, taught this message."""
    return f"basis IN (SELECT '{_TAUGHT}' || value FROM json_each({authors}))"


# The member's word, in SQL. All take SQL expressions, and mean the newest answer.


def agrees_sql(user: str, *, guild: str = ":guild_id", channel: str = ":channel_id") -> str:
    """Return the SQL condition of :func:`agrees`."""
    return f"coalesce((SELECT granted AND ({_scope(channel)}) {_newest(user, guild)}), 0)"


def agrees_since_sql(user: str, since: str, *, guild: str = ":guild_id", channel: str = ":channel_id") -> str:
    """Return the SQL condition that a member agrees, and refused nothing after the answer number ``since``.

    What waits to be written was said under that answer. Whoever was forgotten meanwhile may have agreed
    anew, which does not bring older words back.
    """
    refused = (
        f"EXISTS (SELECT 1 FROM consent_events WHERE guild_id = {guild} AND user_id = {user}"
        f" AND id > {since} AND NOT (granted AND ({_scope(channel)})))"
    )
    return f"({agrees_sql(user, guild=guild, channel=channel)} AND NOT {refused})"


def refuses_sql(user: str, *, guild: str = ":guild_id", channel: str = ":channel_id") -> str:
    """Return the SQL condition of :func:`refuses`."""
    scope = f"channels <> '[]' AND {channel} NOT IN (SELECT value FROM json_each(channels))"
    # coalesce: who never answered has no row, and NOT of that NULL, as writers ask, would be NULL again.
    return f"coalesce((SELECT NOT granted OR ({scope}) {_newest(user, guild)}), 0)"


def opted_out_sql(user: str, *, guild: str = ":guild_id") -> str:
    """Return the SQL condition of :func:`opted_out`."""
    return f"coalesce((SELECT NOT granted {_newest(user, guild)}), 0)"


def _scope(channel: str) -> str:
    return f"channels = '[]' OR {channel} IN (SELECT value FROM json_each(channels))"


def _newest(user: str, guild: str) -> str:
    # By id, not by time: an opt-out counts although the clock was set back before it.
    return f"FROM consent_events WHERE guild_id = {guild} AND user_id = {user} ORDER BY id DESC LIMIT 1"


# The same, in Python. ``word`` is the newest event; None: never asked, or never answered.


def agrees(word: ConsentEvent | None, channel_id: int) -> bool:
    """Tell whether the member said yes for this channel."""
    return word is not None and word.granted and (not word.channels or channel_id in word.channels)


def refuses(word: ConsentEvent | None, channel_id: int) -> bool:
    """Tell whether the member said no for this channel, which outweighs any declared basis."""
    return word is not None and not agrees(word, channel_id)


def opted_out(word: ConsentEvent | None) -> bool:
    """Tell whether the member said no altogether."""
    return word is not None and not word.granted


def objection(word: ConsentEvent | None, channel_id: int, *, is_declared: bool) -> Objection | None:
    """Return why words may be neither kept nor learned from, or None where they may.

    ``is_declared`` says whether an operator declared them lawful to use; that counts only where their
    author was never asked.
    """
    if opted_out(word):
        return "opted out"
    if agrees(word, channel_id) or (is_declared and not refuses(word, channel_id)):
        return None
    return "not agreed"


def is_declared(message: Message) -> bool:
    """Tell whether somebody declared a message lawful to use. What the bot heard itself never is."""
    return message.source != LIVE and message.basis not in _PERSONAL_BASES


def is_locked(message: Message, discord_permission: str) -> bool:
    """Tell whether the policy lock keeps a message away from training.

    An export that nobody declared anything about was made with the API, too.
    """
    is_open = message.source in _NEVER_THROUGH_THE_API or is_declared(message)
    return not is_open and not discord_permission.strip()
