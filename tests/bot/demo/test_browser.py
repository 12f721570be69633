"""The demo's page in a real, headless Chromium; skipped by name where there is none."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bot.demo.page import Page
from bot.demo.world import World

if TYPE_CHECKING:
    from playwright.async_api import Page as Tab

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 15_000
browser_test = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed: the page is not opened"
)


@pytest.fixture
async def tab(page: Page) -> AsyncIterator[Tab]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        tab = await browser.new_page(viewport={"width": 1280, "height": 800})
        tab.set_default_timeout(WAIT_MS)
        troubles: list[str] = []
        tab.on("pageerror", lambda error: troubles.append(str(error)))
        tab.on("console", lambda line: troubles.append(line.text) if line.type == "error" else None)
        await tab.goto(page.url)
        await tab.wait_for_selector(".message")
        yield tab
        assert troubles == []
        await browser.close()


async def _view_as(tab: Tab, world: World, name: str) -> None:
    await tab.select_option("#viewer-select", str(world.stage.member(name).id))
    await tab.wait_for_selector(f".person[aria-pressed=true] >> text={name}")


async def _picture(tab: Tab, name: str) -> None:
    """Keep a picture for a person to look at, where NIGHTSCHOOL_SCREENSHOTS names a folder."""
    if folder := os.environ.get("NIGHTSCHOOL_SCREENSHOTS"):
        await tab.screenshot(path=str(Path(folder) / f"{name}.png"))


@browser_test
@pytest.mark.browser
async def test_a_streamed_answer_grows_in_the_browser(tab: Tab, world: World) -> None:
    bot: Any = world.bot
    bot.pause = 0.08
    await tab.click("text=workshop")
    await tab.fill("#draft", "where is the key? @Nigh")
    await tab.wait_for_selector(".pick >> text=Nightschool")
    await _picture(tab, "mention")
    await tab.keyboard.press("Tab")
    await tab.keyboard.press("Enter")
    answer = tab.locator(".message", has=tab.locator(".author", has_text="Nightschool")).last.locator(".text")
    seen: list[str] = []
    while not (seen and seen[-1].startswith("the key to the shed is under the ceramic frog, as always")):
        seen.append((await answer.inner_text()).strip())
        if len(set(seen)) == 5:
            await _picture(tab, "streaming")
    lengths = [len(text) for text in dict.fromkeys(seen)]
    assert lengths == sorted(lengths)
    assert len(lengths) >= 4
    assert await answer.locator("strong").inner_text() == "under the ceramic frog"
    await _picture(tab, "streamed")


@browser_test
@pytest.mark.browser
async def test_a_report_is_shown_and_its_button_pressed(tab: Tab, world: World) -> None:
    await tab.click("text=nightschool")
    await tab.fill("#draft", "/train")
    await tab.wait_for_selector(".pick >> text=/train report")
    await tab.keyboard.press("Enter")
    await tab.keyboard.press("Enter")
    await tab.wait_for_selector(".embed-title >> text=The night of 1 January")
    picture = tab.locator(".embed-image")
    assert await picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") == 320
    assert await tab.locator(".field.inline").count() == 3
    assert await tab.inner_text(".above .mention") == "/train report"
    await _picture(tab, "report")
    await tab.click("button:has-text('Roll back')")
    await tab.wait_for_selector(".text >> text=Back to the previous version.")
    assert await tab.locator("button:has-text('Rolled back')").is_disabled()
    await _picture(tab, "rolled-back")


@browser_test
@pytest.mark.browser
async def test_a_command_with_options_is_answered_to_its_viewer_alone(tab: Tab, world: World) -> None:
    await _view_as(tab, world, "Otto")
    await tab.fill("#draft", "/")
    await tab.wait_for_selector(".pick >> text=/privacy")
    assert await tab.locator(".pick >> text=/train report").count() == 0
    await _picture(tab, "picker")
    await tab.fill("#draft", "/priv")
    await tab.keyboard.press("Enter")
    await tab.select_option("#command [name=scope]", "all")
    await tab.fill("#command [name=days]", "12")
    await tab.select_option("#command [name=channel]", label="#workshop")
    await _picture(tab, "options")
    await tab.click("#command button:has-text('Run')")
    await tab.wait_for_selector(".ephemeral >> text=Nothing is stored: all, 12 days, #workshop.")
    assert await tab.locator(".only-you").count() == 1
    await _picture(tab, "ephemeral")
    await _view_as(tab, world, "Mira")
    await tab.wait_for_selector(".channel >> text=nightschool")
    assert await tab.locator(".ephemeral").count() == 0


@browser_test
@pytest.mark.browser
async def test_a_form_a_reply_a_reaction_and_a_direct_message(tab: Tab, world: World) -> None:
    await tab.fill("#draft", "/feedback")
    await tab.keyboard.press("Enter")
    await tab.keyboard.press("Enter")
    await tab.fill("dialog [name=words]", "lovely")
    await _picture(tab, "form")
    await tab.click("dialog >> text=Submit")
    await tab.wait_for_selector(".ephemeral >> text=Thank you: lovely")
    last = world.messages("lounge")[-2]
    row = tab.locator(f"#m{last.id}")
    await row.hover()
    await row.locator("[aria-label='React with 🎉']").click()
    await tab.wait_for_selector(f"#m{last.id} .reaction.mine")
    await row.hover()
    await row.locator("[aria-label=Reply]").click()
    await tab.fill("#draft", "well said <b>&amp; done</b> `code`")
    await tab.keyboard.press("Enter")
    await tab.wait_for_selector(".above + .row >> text=well said <b>&amp; done</b> code")
    await _picture(tab, "reply")
    await tab.click(".channel:has(.face)")
    await tab.fill("#draft", "hello you")
    await tab.keyboard.press("Enter")
    await tab.wait_for_selector(".message >> text=the key to the shed is under the ceramic frog, as always")
    await _picture(tab, "direct")


@browser_test
@pytest.mark.browser
async def test_the_clock_moves_to_three_and_the_night_is_seen(tab: Tab, world: World) -> None:
    finish = asyncio.Event()

    async def night() -> None:
        world.tell_night("Fitting: step 12 of 40, loss 3.11, two minutes left")
        await finish.wait()

    world.on_time_moved = night
    await tab.click("#advance")
    await tab.wait_for_selector("#night-text >> text=Fitting: step 12 of 40")
    assert (await tab.inner_text("#time")).startswith("03:00")
    assert await tab.locator("#advance").is_disabled()
    await _picture(tab, "night")
    finish.set()
    await tab.wait_for_selector("#advance:not([disabled])")


@browser_test
@pytest.mark.browser
async def test_the_page_fits_a_narrow_window(tab: Tab, world: World) -> None:
    await tab.set_viewport_size({"width": 700, "height": 800})
    await tab.click("#menu")
    await _picture(tab, "narrow-menu")
    await tab.click("#sidebar >> text=kitchen-table")
    await tab.wait_for_selector("#channel-name >> text=kitchen-table")
    assert await tab.evaluate("document.documentElement.scrollWidth") <= 700
    await _picture(tab, "narrow")


@browser_test
@pytest.mark.browser
async def test_times_beyond_all_calendars_and_small_print_are_shown(tab: Tab, world: World) -> None:
    times = "<t:99999999999999999> <t:-99999999999:R> <t:8640000000000:F>"
    await world.say("Otto", "lounge", f"before {times}\n-# small print with `code`\nafter <t:0:F>")
    text = tab.locator(".message .text").last
    assert await text.inner_text() == (
        f"before {times}\nsmall print with code\nafter Thursday, 1 January 1970 00:00"
    )
    small = text.locator(".subtext")
    assert await small.inner_text() == "small print with code"
    size = await small.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
    assert size < await text.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
    assert await small.evaluate("e => getComputedStyle(e).color") != await text.evaluate(
        "e => getComputedStyle(e).color"
    )
    await _picture(tab, "small-print")
