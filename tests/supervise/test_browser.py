"""The status page in a real browser: live without reloading, clips that play as one, nothing that should not be."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from edged.base.config import Duration
from edged.model import LinkState, Region, Sign
from edged.supervise.board import GateView
from edged.supervise.http import StatusServer
from edged.supervise.settings import HttpSettings, SuperviseSettings
from tests.browser import open_tab
from tests.supervise.samples import (
    MB,
    MemoryBoard,
    camera,
    clip,
    delivery,
    disk,
    gap,
    health,
    incident,
    jpeg,
    link,
    loss,
    queue,
    snapshot,
    transfer,
    view,
    write_clip,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Page

ONE, TWO, THREE, STILL = "1" * 32, "2" * 32, "3" * 32, "4" * 32
SECONDS = (3.0, 2.0, 1.0)
COLOURS = ((170, 20, 20), (20, 150, 20), (20, 20, 150))
PLAYER = "document.querySelector('edged-player')"
LONG = "x" * 120


@asynccontextmanager
async def serving(board: MemoryBoard, listen: str = "127.0.0.1:0") -> AsyncIterator[StatusServer]:
    """Run a status server for the block."""
    settings = HttpSettings(listen=listen, picture_every=Duration(0.2))
    server = StatusServer(board, settings, SuperviseSettings())
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def board(tmp_path: Path) -> MemoryBoard:
    """A device with an incident of two clip parts, red and then green, and a blue one to come."""
    made = MemoryBoard()
    for identity, seconds, colour in zip((ONE, TWO, THREE), SECONDS, COLOURS, strict=True):
        path = tmp_path / f"{identity}.mp4"
        await asyncio.to_thread(write_clip, path, seconds, colour)
        made.files["clip", identity] = path
    (tmp_path / "still.jpg").write_bytes(jpeg())
    made.files["snapshot", STILL] = tmp_path / "still.jpg"
    made.pictures = {"front": jpeg(), "yard": jpeg()}
    made.rows = [incident(clips=parts(), snapshots=[snapshot(STILL)])]
    return made


def parts(count: int = 2) -> list[dict[str, Any]]:
    """Return the rows of the first parts."""
    return [clip(identity, n, SECONDS[n - 1]) for n, identity in enumerate((ONE, TWO, THREE), start=1)][:count]


async def play_through(page: Page) -> list[tuple[float, int, str]]:
    """Play to the end; return position, part and the colour in the middle of the picture, at each change."""
    return [
        tuple(seen)
        for seen in await page.evaluate(
            """() => new Promise((done) => {
              const player = document.querySelector("edged-player");
              const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
              const seen = [];
              player.addEventListener("position", () => {
                const video = player.querySelector("video.active");
                canvas.drawImage(video, 0, 0, 32, 18);
                const [red, green] = canvas.getImageData(2, 2, 1, 1).data;
                seen.push([player.position, player.part, red > green ? "red" : "green"]);
                if (!player.playing) done(seen);
              });
              player.play();
            })"""
        )
    ]


# ---------------------------------------------------------------------------------------------- live


async def test_the_page_follows_the_board_without_reloading(board: MemoryBoard) -> None:
    """Health, boxes, incidents and progress change in the open page, and what a person opened stays open."""
    async with serving(board) as server, open_tab() as tab:
        page = tab.page
        await page.goto(server.address)
        await page.evaluate("window.mark = 'not reloaded'")
        await expect(page.locator("#connection")).to_have_text("Live")
        await expect(page.locator("#live-health")).to_contain_text("All is well")
        await page.locator("#live-system summary").click()
        kept = await page.query_selector(f"#incident-{'a' * 32}")
        assert kept is not None

        moving = (Region(x=0.1, y=0.2, w=0.3, h=0.4, zone=""),)
        ill = camera("yard", health=health(Sign.NO_FRAMES, text="no picture for 9 s"), picture_age=9.0)
        board.shown = view(
            cameras=(camera(regions=moving), ill), transfers=(transfer(sent=42, size=100),), rss=111 * MB
        )
        board.rows = [incident("b" * 32, zones=["door"]), *board.rows]
        await expect(page.locator("#live-health")).to_contain_text("Camera yard: no picture for 9 s")
        await expect(page.locator("#camera-front rect")).to_have_count(1)
        await expect(page.locator("#camera-yard")).to_contain_text("No picture for 9 s")
        await expect(page.locator("#live-incidents article").first).to_contain_text("front, door")
        await expect(page.locator("#transfer-7")).to_contain_text("42 %")
        await expect(page.locator("#live-system")).to_contain_text("111 MB")
        board.shown = replace(board.shown, transfers=(transfer(sent=87, size=100),))
        await expect(page.locator("#transfer-7")).to_contain_text("87 %")
        assert await page.locator("#transfer-7 progress").evaluate("(bar) => bar.value") == 87

        assert await page.evaluate("window.mark") == "not reloaded"
        assert await page.locator("#live-system details").evaluate("(list) => list.open")
        assert await kept.evaluate("(card) => card.isConnected"), "the older incident's card is the same element"
        assert tab.complaints == []


async def test_the_page_comes_back_after_a_restart(board: MemoryBoard) -> None:
    """While the daemon is away the page says so; when it is back, it shows what changed meanwhile."""
    async with open_tab() as tab:
        page = tab.page
        async with serving(board) as server:
            await page.goto(server.address)
            await expect(page.locator("#connection")).to_have_text("Live")
            await page.evaluate("window.mark = 'not reloaded'")
        await expect(page.locator("#connection")).to_have_text("No connection to edged")
        board.gap_rows = [gap("the power was cut")]
        async with serving(board, listen=server.address.removeprefix("http://")):
            await expect(page.locator("#connection")).to_have_text("Live")
            await expect(page.locator("#live-ledger")).to_contain_text("the power was cut")
            assert await page.evaluate("window.mark") == "not reloaded"


async def test_pictures_are_renewed(board: MemoryBoard) -> None:
    """The camera's picture is fetched again and again, and replaced only when the new one is there."""
    async with serving(board) as server, open_tab() as tab:
        await tab.page.goto(server.address)
        colour = """() => {
          const canvas = document.createElement("canvas").getContext("2d");
          canvas.drawImage(document.querySelector("img[data-picture]"), 0, 0, 8, 8);
          return canvas.getImageData(4, 4, 1, 1).data[0] > 150;
        }"""
        await tab.page.wait_for_function(f"() => !({colour})()")
        board.pictures["front"] = jpeg((220, 40, 40))
        await tab.page.wait_for_function(colour)
        assert tab.complaints == []


# -------------------------------------------------------------------------------------------- player


async def test_a_clip_in_two_parts_plays_as_one(board: MemoryBoard) -> None:
    """One click plays both parts over one timeline, the first red and the second green, and then stops."""
    async with serving(board) as server, open_tab() as tab:
        page = tab.page
        await page.goto(f"{server.address}/incidents/{'a' * 32}")
        await expect(page.locator(".player-time")).to_have_text("0:00 / 0:05")
        seen = await play_through(page)
        positions = [position for position, _, _ in seen]
        assert positions == sorted(positions), "time never goes back"
        assert positions[-1] == pytest.approx(5.0, abs=0.1)
        assert {(part, colour) for _, part, colour in seen} == {(0, "red"), (1, "green")}
        assert next(position for position, part, _ in seen if part == 1) == pytest.approx(3.0, abs=0.2)
        assert tab.complaints == []


async def test_seeking_crosses_parts_both_ways(board: MemoryBoard) -> None:
    """The timeline, the arrow keys, Home and End lead to the right place in the right part; so does a pause there."""
    async with serving(board) as server, open_tab() as tab:
        page = tab.page
        await page.goto(f"{server.address}/incidents/{'a' * 32}")

        async def reaches(position: float, part: int) -> None:
            inner = position - (SECONDS[0] if part else 0.0)
            told = f"p.part === {part} && Math.abs(p.position - {position}) < 0.15"
            shown = f"!v.seeking && Math.abs(v.currentTime - {inner}) < 0.15"
            find = f"const p = {PLAYER}, v = p.querySelector('video.active')"
            # together: the player tells the goal of a seek before the video is there
            await page.wait_for_function(f"() => {{ {find}; return {told} && {shown}; }}")

        await page.evaluate(f"{PLAYER}.seek(4.2)")
        await reaches(4.2, 1)
        await page.locator(".player-range").focus()
        await page.keyboard.press("ArrowLeft")
        await reaches(0.0, 0)
        await page.keyboard.press("End")
        await reaches(4.95, 1)
        await page.keyboard.press("Home")
        await reaches(0.0, 0)
        await page.locator(".player-range").evaluate(
            "(range) => { range.value = 3.5; range.dispatchEvent(new Event('input')); }"
        )
        await reaches(3.5, 1)
        assert await page.locator(".player-range").get_attribute("aria-valuetext") == "0:03 of 0:05"
        assert not await page.evaluate(f"{PLAYER}.playing")
        assert tab.complaints == []


async def test_it_plays_over_the_page_and_grows_with_the_recording(board: MemoryBoard) -> None:
    """A click on a card opens the player; a part that is sealed meanwhile lengthens it without a stop."""
    board.rows = [incident(closed=None, clips=parts(2), snapshots=[snapshot(STILL)])]
    async with serving(board) as server, open_tab() as tab:
        page = tab.page
        await page.goto(server.address)
        await expect(page.locator("#connection")).to_have_text("Live")
        await page.locator(".shot-picture").click()
        await expect(page.locator("dialog.theatre")).to_be_visible()
        await page.wait_for_function(f"() => {PLAYER}.position > 0.2")
        await expect(page.locator(".player-time")).to_contain_text("/ 0:05")
        await page.evaluate(f"{PLAYER}.seek(3.1)")
        await page.wait_for_function(f"() => {PLAYER}.part === 1")
        board.rows = [incident(closed=None, clips=parts(3), snapshots=[snapshot(STILL)])]
        await expect(page.locator(".player-time")).to_contain_text("/ 0:06")
        assert await page.evaluate(f"{PLAYER}.part > 0 && {PLAYER}.playing")
        await page.wait_for_function(f"() => {PLAYER}.part === 2 && {PLAYER}.position > 5.2")
        await page.keyboard.press("Escape")
        await expect(page.locator("dialog.theatre")).to_be_hidden()
        await expect(page.locator("edged-player")).to_have_count(0)
        assert tab.complaints == []


async def test_a_missing_part_is_said_and_the_next_is_played(board: MemoryBoard) -> None:
    """Retention may take a part while someone looks: the rest still plays, and a lone one says what is wrong."""
    board.files["clip", ONE].unlink()
    async with serving(board) as server, open_tab() as tab:
        page = tab.page
        await page.goto(f"{server.address}/incidents/{'a' * 32}")
        await expect(page.locator(".player-note")).to_contain_text("Part 1 can't be played")
        await page.evaluate(f"{PLAYER}.play()")
        await page.wait_for_function(f"() => {PLAYER}.part === 1 && {PLAYER}.position > 3.2")


# -------------------------------------------------------------------------------------------- layout


def crowded(board: MemoryBoard) -> None:
    """Fill the board with everything at once, in long words."""
    where = f"mail:{LONG}@example.org"
    board.shown = view(
        title=f"Corner shop {LONG}",
        cameras=(
            camera(regions=(Region(x=0.5, y=0.5, w=0.6, h=0.6, zone=""),), incident="a" * 32),
            camera("yard", health=health(Sign.NO_FRAMES, text=LONG, rung=2), armed=False, size="640x480"),
            camera("new", health=None, picture_age=None, size="", codec=""),
        ),
        gates=(GateView(destination=where, state="down", reason=LONG),),
        link=link(LinkState.DOWN, LONG),
        transfers=(transfer(name=f"{LONG}.mp4"), transfer(9, size=0, sent=0, rate=0.0)),
        disk=disk(level="warn", quota=9 * MB),
        notices=(LONG,),
        complaints=(LONG,),
        synced=False,
    )
    board.numbers = queue(waiting=12345, held=99, dead=1234, backlog_bytes=10**12, oldest_age=1e6, drain_seconds=1e6)
    board.waiting = [delivery(20, last_error=LONG), delivery(21, kind="alert", destination=where, size=0, state="dead")]
    board.gap_rows, board.loss_rows = [gap(LONG)], [loss(LONG)]
    board.rows = [
        *board.rows,
        incident("b" * 32, camera=LONG, zones=[LONG], closed=None, deliveries=[delivery(7)]),
        incident("c" * 32, kind="manual", held="cooldown", zones=[]),
    ]


@pytest.mark.parametrize("width", [390, 768, 1280])
async def test_nothing_is_wider_than_the_window(board: MemoryBoard, width: int) -> None:
    """On a phone, a tablet and a desk, empty or crowded with long words, each page fits; none breaks the policy."""
    async with serving(board) as server, open_tab(width=width, height=844, dark=width == 768) as tab:
        page = tab.page
        await page.goto(server.address)
        assert await tab.overflow() <= 0
        crowded(board)
        for path in ("/", f"/incidents/{'a' * 32}", f"/incidents/{'b' * 32}"):
            await page.goto(server.address + path)
            await expect(page.locator("#connection")).to_have_text("Live")
            assert await tab.overflow() <= 0, path
        await page.goto(server.address)
        await page.locator(".shot-picture").first.click()
        await expect(page.locator("dialog.theatre")).to_be_visible()
        assert await tab.overflow() <= 0
        assert tab.complaints == []


async def test_an_inline_script_does_not_run(board: MemoryBoard) -> None:
    """The policy holds in a real browser: script put into the page by force is refused, and that is seen."""
    async with serving(board) as server, open_tab() as tab:
        await tab.page.goto(server.address)
        await tab.page.evaluate(
            """() => {
              const script = document.createElement("script");
              script.textContent = "window.broken = true";
              document.body.append(script);
            }"""
        )
        assert await tab.page.evaluate("window.broken") is None
        assert any("Content Security Policy" in complaint for complaint in tab.complaints)
