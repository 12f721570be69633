"""Kinds of channels, by Discord's numbers and by the words of several export tools."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.importing.channels import kind_of


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        (0, "channel"),
        ("GuildTextChat", "channel"),
        ("GUILD_VOICE", "channel"),
        (None, "channel"),
        ({"odd": 1}, "channel"),
        (1, "direct"),
        ("DM", "direct"),
        ("DirectGroupTextChat", "direct"),
        (10, "thread"),
        (11, "thread"),
        ("PUBLIC_THREAD", "thread"),
        ("GuildPublicThread", "thread"),
        ("Guild News Thread", "thread"),
        (12, "private thread"),
        ("GuildPrivateThread", "private thread"),
    ],
)
def test_a_kind_is_known_by_number_and_by_any_spelling_of_its_name(named: Any, kind: str) -> None:
    assert kind_of(named) == kind
