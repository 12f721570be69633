"""Whatever goes wrong in a command becomes one private reply."""

from __future__ import annotations

import pytest

from tests.bot.house import House, text_of


async def test_an_unforeseen_failure_gives_a_reference_that_the_log_has(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.services.ledger.reader.close()
    result = await house.ann.slash(house.general, "privacy status")
    text = text_of(result)
    assert text.startswith("Something broke on my side.")
    assert text.split("`")[1] in caplog.text


async def test_a_long_value_in_an_error_still_gives_a_reply(house: House) -> None:
    result = await house.boss.slash(house.general, "adapter show", version="v" * 4000)
    assert "has no adapter version" in text_of(result)
