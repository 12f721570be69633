"""What members took back while a night learned from it, and who they are.

Pure functions over deletions and the night's own list of messages; deletes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ledger.forgetting.deletions import Deletion

BEGINNINGS = 6
"""How often a night may begin in all, each time without those who took something back before; a beginning
may cost a whole fit."""


def reaches(deletion: Deletion, authors: Mapping[int, int]) -> bool:
    """Tell whether the deletion concerns a night that learned from ``authors``: message ids to people.

    For a deleted channel or server it is always true: the list does not say where a message was.
    """
    if deletion.kind == "person":
        return not set(deletion.subject).isdisjoint(authors.values())
    return deletion.kind != "messages" or not authors.keys().isdisjoint(deletion.subject)


def withdrawers(deletions: Iterable[Deletion], authors: Mapping[int, int]) -> set[int]:
    """Return the people whose words, among ``authors``, were deleted or changed."""
    found: set[int] = set()
    for deletion in deletions:
        if deletion.kind == "person":
            found |= set(deletion.subject) & set(authors.values())
        elif deletion.kind == "messages":
            found |= {authors[message] for message in deletion.subject if message in authors}
    return found


__all__ = ["BEGINNINGS", "reaches", "withdrawers"]
