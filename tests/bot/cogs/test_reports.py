"""The reports' cog: it listens while it is loaded, and no longer."""

from __future__ import annotations

from tests.bot.house import House


def reporters(house: House) -> list[str]:
    return [
        repr(listener) for listener in house.services.nights._listeners if "NightReports" in repr(listener)
    ]


async def test_a_cog_that_is_unloaded_reports_no_more(house: House) -> None:
    assert len(reporters(house)) == 1
    await house.bot.remove_cog("ReportsCog")
    assert reporters(house) == []
