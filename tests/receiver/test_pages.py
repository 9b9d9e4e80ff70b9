"""The receiver's pages in a real browser: the door, the lists, an incident that really plays, the mail's link."""

from __future__ import annotations

import asyncio
import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import av
import pytest
from playwright.async_api import Page, async_playwright, expect

from edged.receiver import admin
from edged.wire import heartbeat, signing
from edged.wire.heartbeat import CameraReport, GapReport, Heartbeat
from tests.receiver.client import manifest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edged.receiver.app import Serving
    from edged.receiver.settings import ReceiverConfig
    from tests.receiver.client import Device

INCIDENT = "c" * 32
OPENED = 1_790_000_000.0
PHONE = {"width": 390, "height": 844}


def clip(shade: int) -> bytes:
    """Return one second of H.264 in fragmented MP4, as the recorder writes it."""
    target = io.BytesIO()
    with av.open(target, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}) as out:
        stream = out.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame(160, 90, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([shade + 10 * number]) * plane.buffer_size)
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return target.getvalue()


def picture() -> bytes:
    """Return a small JPEG."""
    target = io.BytesIO()
    with av.open(target, "w", format="mjpeg") as out:
        stream = out.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuvj420p"
        frame = av.VideoFrame(160, 90, "yuvj420p")
        for plane in frame.planes:
            plane.update(bytes([120]) * plane.buffer_size)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return target.getvalue()


async def send_part(device: Device, part: int, *, final: bool = False) -> None:
    """Upload one clip part of the incident."""
    data = clip(20 * part)
    told = manifest_of(data, incident=INCIDENT, camera="Front door", part=part, seconds=1.0, cause="motion")
    told = replace(told, opened=OPENED, zones=("yard",), final=final, closed=OPENED + 2 if final else None)
    await device.upload(data, told)


async def send_snapshot(device: Device) -> None:
    """Upload the incident's snapshot."""
    data = picture()
    told = manifest_of(data, kind="snapshot", content_type="image/jpeg", name="front.jpg", incident=INCIDENT)
    await device.upload(
        data, replace(told, camera="Front door", opened=OPENED, cause="motion", zones=("yard",), part=1)
    )


async def beat(device: Device) -> None:
    """Send a heartbeat that tells of an ill camera and a gap."""
    cameras = (
        CameraReport(name="Front door", well=True),
        CameraReport(name="Back", well=False, text="no frames for 20 s"),
    )
    told = Heartbeat(version="0.1.0", time=device.now, synced=True, boot="b", sequence=1, site="Harbour shop")
    told = replace(told, timezone="Europe/Berlin", cameras=cameras, waiting=3, waiting_bytes=5_000_000, oldest=90.0)
    gap = GapReport(camera="Back", start=OPENED, end=OPENED + 75, reason="the picture was frozen")
    await device.request("POST", heartbeat.PATH, {}, heartbeat.pack(told, [gap])[0])


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A page of a real browser as wide as a phone, which fails the test on any script error or refused resource."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium-headless-shell", args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": PHONE["width"], "height": PHONE["height"]})
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        yield page
        await browser.close()
        assert [trouble for trouble in troubles if "status of 4" not in trouble] == []


async def log_in(page: Page, url: str, password: str = "correct horse") -> None:
    """Fill the login form in."""
    await page.goto(f"{url}/login")
    await page.fill("input[name=name]", "ann")
    await page.fill("input[name=password]", password)
    await page.click("button[type=submit]")


async def fits(page: Page) -> bool:
    """Return whether nothing is wider than the phone."""
    return bool(await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


async def becomes(page: Page, condition: str) -> None:
    """Wait until the JavaScript `condition` holds (the pages' policy forbids the browser's own way to wait)."""
    async with asyncio.timeout(15):
        while not await page.evaluate(condition):
            await asyncio.sleep(0.05)


async def plays(page: Page, beyond: float) -> None:
    """Press play and wait until the shared timeline has passed `beyond` seconds, which real decoding alone can do."""
    await becomes(page, "document.querySelector('edged-player')?.total > 0")
    await page.evaluate("document.querySelector('edged-player').play()")
    await becomes(page, f"document.querySelector('edged-player').position > {beyond}")
    ahead = "[...document.querySelectorAll('video')].some(video => video.currentTime > 0 && video.videoWidth == 160)"
    assert await page.evaluate(ahead)


async def test_nothing_is_seen_without_a_login(receiver: Serving, shop: Device, page: Page) -> None:
    """Every page leads to the door; a wrong password stays there; the right one leads on to where one wanted to go."""
    await admin.add_user(receiver.world.config, "ann", "correct horse")
    await send_snapshot(shop)
    for path in ("/", "/devices/shop", f"/incidents/shop/{INCIDENT}", "/media/x"):
        await page.goto(shop.url + path)
        assert "/login?next=" in page.url
    await log_in(page, shop.url, "wrong horse")
    await expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    assert await fits(page)
    await page.goto(f"{shop.url}/incidents/shop/{INCIDENT}")
    await page.fill("input[name=name]", "ann")
    await page.fill("input[name=password]", "correct horse")
    await page.click("button[type=submit]")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Motion at Front door (yard)")
    await page.get_by_role("button", name="Log out ann").click()
    await page.goto(shop.url)
    assert "/login" in page.url


async def test_lists(receiver: Serving, shop: Device, page: Page) -> None:
    """The first page shows the device with its troubles and the incident with its snapshot, in the site's time."""
    await admin.add_user(receiver.world.config, "ann", "correct horse")
    await beat(shop)
    await send_snapshot(shop)
    await send_part(shop, 1)
    await log_in(page, shop.url)
    await expect(page.get_by_role("link", name="Harbour shop")).to_be_visible()
    await expect(page.get_by_text("Camera Back: no frames for 20 s")).to_be_visible()
    await expect(page.get_by_text("1 part so far, more to come")).to_be_visible()
    await becomes(page, "document.querySelector('.shot img').naturalWidth == 160")
    assert await fits(page)
    await page.get_by_role("link", name="Harbour shop").click()
    await expect(page.get_by_text("the picture was frozen")).to_be_visible()
    await expect(page.get_by_role("cell", name="1 min")).to_be_visible()
    assert await fits(page)
    assert "CEST" in await page.inner_text("main")


async def test_an_incident_plays_as_one(receiver: Serving, shop: Device, page: Page) -> None:
    """Two parts of a second each play one after the other on one timeline; files can be saved."""
    await admin.add_user(receiver.world.config, "ann", "correct horse")
    await send_snapshot(shop)
    await send_part(shop, 2, final=True)
    await send_part(shop, 1)
    await log_in(page, shop.url)
    await page.get_by_role("link", name="Motion at Front door (yard)").first.click()
    await plays(page, 1.2)
    assert await page.evaluate("document.querySelector('edged-player').total") == 2
    assert await fits(page)
    rows = page.locator("#files tbody tr")
    await expect(rows).to_have_count(3)
    await expect(page.locator("#facts")).to_contain_text("21 Sep 2026")


async def test_the_mails_link(config: ReceiverConfig, receiver: Serving, shop: Device, page: Page) -> None:
    """It says "not yet arrived", shows the incident by itself once it has, grows, and opens nothing else."""
    path = signing.sign_link(key=shop.key, device="shop", incident=INCIDENT, until=shop.now + 3600)
    await page.goto(shop.url + path)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Not yet arrived")
    await send_part(shop, 1)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Motion at Front door (yard)", timeout=15_000)
    await plays(page, 0.2)
    await send_part(shop, 2, final=True)
    await becomes(page, "document.querySelector('edged-player').total == 2")
    await expect(page.locator("#facts .badge")).to_have_count(0)
    assert await fits(page)
    source = await page.evaluate("document.querySelector('video').src")
    assert re.search(r"/i/shop/c+/[0-9a-f]+\?until=", source)
    for wrong in (source.replace("c" * 32, "d" * 32), source.replace("signature=", "signature=0"), f"{shop.url}/"):
        answer = await page.request.get(wrong, max_redirects=0)
        assert answer.status in {303, 404}


async def test_an_expired_or_forged_link(receiver: Serving, shop: Device, page: Page) -> None:
    """Expired: it says so and offers the login. Forged: there is nothing."""
    await send_part(shop, 1, final=True)
    late = signing.sign_link(key=shop.key, device="shop", incident=INCIDENT, until=shop.now - 1)
    await page.goto(shop.url + late)
    await expect(page.get_by_role("heading", level=1)).to_have_text("This link has expired")
    await expect(page.get_by_role("link", name="Log in")).to_be_visible()
    await page.goto(shop.url + late.replace("until=1", "until=2"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Nothing here")
