"""Mails in a real browser at a phone's width: nothing runs over the edge, and the pictures are there.

With EDGED_SCREENSHOTS=DIR each test writes what it saw as a PNG, to be looked at.
"""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.async_api import ViewportSize, async_playwright

from edged.channels.content import Alert
from edged.channels.render import render_message
from tests.channels.samples import LETTERHEAD, contents, picture, sighting

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from playwright.async_api import Browser, Page

PHONE = ViewportSize(width=360, height=740)
_OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
_PICTURES = "Array.from(document.images, image => image.complete && image.naturalWidth > 0)"
_READABLE = """
    Array.from(document.querySelectorAll('td, div, h1, a, span'))
        .filter(element => element.innerText.trim())
        .map(element => parseFloat(getComputedStyle(element).fontSize))
"""


@pytest.fixture
async def browser() -> AsyncGenerator[Browser]:
    """Debian's headless Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium-headless-shell", args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        await browser.close()


def page_of(message: bytes) -> str:
    """Return the HTML of a mail as a reader shows it, its pictures put in where their content ids stand."""
    mail = message_from_bytes(message, policy=policy.SMTP)
    body = mail.get_body(("html",))
    assert body is not None
    html = str(body.get_content())
    for part in mail.walk():
        if "Content-ID" in part:
            data = base64.b64encode(part.get_content()).decode()
            html = html.replace(f"cid:{part['Content-ID'].strip('<>')}", f"data:image/jpeg;base64,{data}")
    return html


async def show(page: Page, message: bytes, name: str) -> None:
    """Show a mail."""
    await page.set_content(page_of(message), wait_until="load")
    if "EDGED_SCREENSHOTS" in os.environ:
        await page.screenshot(path=Path(os.environ["EDGED_SCREENSHOTS"]) / f"{name}.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_mail_fits_a_phone(browser: Browser, scheme: Literal["light", "dark"]) -> None:
    """Each kind of mail fits 360 pixels without scrolling sideways, in text no smaller than 13 pixels."""
    for name, content in contents(picture()).items():
        message = render_message(content, LETTERHEAD, sender="a@example.org", recipient="b@example.org", key=name)
        page = await browser.new_page(viewport=PHONE, color_scheme=scheme, device_scale_factor=2)
        await show(page, message, f"{name}-{scheme}")
        assert await page.evaluate(_OVERFLOW) == 0, name
        assert all(await page.evaluate(_PICTURES)), name
        assert min(await page.evaluate(_READABLE)) >= 13, name
        await page.close()


async def test_the_longest_names_fit_too(browser: Browser) -> None:
    """A name without a place to break it does not widen the page."""
    long = "W" * 119
    head = replace(LETTERHEAD, site=long, device=long)
    wide = Alert(sighting=sighting(long, (long, long)))
    message = render_message(wide, head, sender="a@example.org", recipient="b@example.org", key="long")
    page = await browser.new_page(viewport=PHONE)
    await show(page, message, "long")
    assert await page.evaluate(_OVERFLOW) == 0


async def test_a_name_is_never_markup(browser: Browser) -> None:
    """Names that look like HTML are shown, not run."""
    hostile = "<img src=x onerror=document.title='run'>"
    named = Alert(sighting=sighting(hostile, (hostile,)))
    message = render_message(named, LETTERHEAD, sender="a@example.org", recipient="b@example.org", key="markup")
    page = await browser.new_page(viewport=PHONE)
    await show(page, message, "markup")
    assert await page.inner_text("h1") == hostile
    assert await page.evaluate("document.images.length") == 0
