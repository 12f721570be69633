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


PAINTED = """letters => {
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  return [getComputedStyle(document.body).backgroundColor, getComputedStyle(letters).color].map((colour) => {
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
  });
}"""
"""Gives the red, green and blue of the page's ground and of an element's letters, as painted."""
COMPARISON = {
    "at": "2026-01-02T03:05:00+00:00",
    "before": "the bare model",
    "after": "version 1",
    "rows": [{"question": "what's for dinner?", "before": "I am **an** assistant.", "after": "soup."}],
}


@browser_test
@pytest.mark.browser
async def test_the_first_screen_says_what_this_is_and_what_to_try(tab: Tab, world: World) -> None:
    guide = tab.locator("#guide")
    assert await guide.locator("[data-step]").count() == 3
    words = await guide.inner_text()
    for part in ("does not exist", "runs on this computer", "Pip", "03:00", "before and after"):
        assert part in words
    await guide.locator("[data-step=ask]").click()
    await tab.wait_for_selector(".message >> text=@Nightschool what's for dinner tonight?")
    await guide.locator("[aria-label=Close]").click()
    assert await guide.is_hidden()
    await tab.reload()
    await tab.wait_for_selector(".message")
    assert await guide.is_hidden()
    await tab.click("#help")
    assert await guide.is_visible()
    world.on_time_moved = asyncio.Event().wait  # type: ignore[assignment]
    await guide.locator("[data-step=night]").click()
    await tab.wait_for_selector("#night-text >> text=The night has begun.")
    await tab.wait_for_selector("[data-step=night][disabled]")
    await tab.reload()
    await tab.wait_for_selector("[data-step=night][disabled]")


@browser_test
@pytest.mark.browser
async def test_the_answers_before_and_after_a_night_stand_side_by_side(tab: Tab, world: World) -> None:
    await tab.click("#guide [aria-label=Close]")
    world.show_comparison(COMPARISON)
    await tab.wait_for_selector("#guide table")
    assert (
        await tab.locator("#guide thead").inner_text()
    ).strip() == "asked\tbefore: the bare model\tnow: version 1"
    before, after = tab.locator("#guide td").nth(0), tab.locator("#guide td").nth(1)
    assert (await before.inner_text(), await after.inner_text()) == ("I am an assistant.", "soup.")
    left, right = await before.bounding_box(), await after.bounding_box()
    assert left is not None
    assert right is not None
    assert (left["y"], left["x"] < right["x"]) == (right["y"], True)
    await _picture(tab, "compared")
    await tab.reload()
    await tab.wait_for_selector("#guide table >> text=soup.")
    await tab.set_viewport_size({"width": 390, "height": 844})
    assert await tab.evaluate("document.documentElement.scrollWidth") <= 390
    await tab.wait_for_function(
        "(() => { const s = document.getElementById('scroll');"
        " return s.scrollHeight - s.scrollTop - s.clientHeight < 2; })()"
    )
    world.tell_night("Fitting: step 12 of 40")
    await tab.wait_for_selector("#night-line >> text=step 12 of 40")
    await _picture(tab, "compared-narrow")


@browser_test
@pytest.mark.browser
async def test_a_reload_keeps_member_and_channel(tab: Tab, world: World) -> None:
    await _view_as(tab, world, "Otto")
    await tab.click(".channel >> text=workshop")
    await tab.reload()
    await tab.wait_for_selector(".person[aria-pressed=true] >> text=Otto")
    assert await tab.inner_text("#channel-name") == "# workshop"


@browser_test
@pytest.mark.browser
async def test_the_page_is_light_where_the_system_asks_for_it_and_dark_otherwise(tab: Tab) -> None:
    async def contrast(selector: str) -> tuple[float, float]:
        """Return the lightness of ground and letters, 0 to 1."""
        channels = await tab.locator(selector).first.evaluate(PAINTED)
        ground, letters = ((0.2126 * r + 0.7152 * g + 0.0722 * b) / 255 for r, g, b in channels)
        return ground, letters

    for scheme, light in (("light", True), ("dark", False)):
        await tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for selector in (".text", ".author >> text=Pip", ".author >> text=Mira", "#channel-name"):
            ground, letters = await contrast(selector)
            assert (ground > 0.9) == light
            assert abs(ground - letters) > 0.3, (scheme, selector)
        await _picture(tab, scheme)


@browser_test
@pytest.mark.browser
async def test_a_finger_replies_reacts_edits_and_deletes(page: Page, world: World) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        phone = await browser.new_context(
            viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="light"
        )
        tab = await phone.new_page()
        tab.set_default_timeout(WAIT_MS)
        await tab.goto(page.url)
        await tab.wait_for_selector(".message")
        await _picture(tab, "phone")
        await tab.tap("#guide [aria-label=Close]")
        mine = await world.say("Mira", "lounge", "a line of mine")
        row = tab.locator(f"#m{mine}")
        reply = row.locator("[aria-label=Reply]")
        await row.locator(".text").tap()
        await _picture(tab, "phone-chosen")
        box = await reply.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 44
        await row.locator("[aria-label='React with 🎉']").tap()
        await tab.wait_for_selector(f"#m{mine} .reaction.mine")
        await reply.tap()
        assert (await tab.inner_text("#replying")).split("\n")[0] == "Replying to Mira"
        await row.locator("[aria-label=Edit]").tap()
        assert (await tab.inner_text("#replying")).split("\n")[0] == "Editing your message"
        await tab.tap("[aria-label='Do not edit']")
        assert await tab.input_value("#draft") == ""
        await row.locator("[aria-label=Edit]").tap()
        await tab.fill("#draft", "a better line")
        await tab.tap("#send")
        await tab.wait_for_selector(f"#m{mine} .text >> text=a better line (edited)")
        assert await tab.locator("#replying").is_hidden()
        await row.locator("[aria-label=Delete]").tap()
        await row.wait_for(state="detached")
        assert await tab.evaluate("document.documentElement.scrollWidth") <= 390
        await browser.close()
