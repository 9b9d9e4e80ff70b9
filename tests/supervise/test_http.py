"""The status server over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from edged.base.config import Duration
from edged.model import Region
from edged.supervise.http import StatusServer, host_allowed, is_loopback
from edged.supervise.settings import HttpSettings, SuperviseSettings
from tests.supervise.samples import (
    MB,
    MemoryBoard,
    camera,
    clip,
    delivery,
    disk,
    gap,
    incident,
    jpeg,
    loss,
    queue,
    snapshot,
    transfer,
    view,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SETTINGS = HttpSettings(listen="127.0.0.1:0")


@pytest.fixture
def board() -> MemoryBoard:
    """A device with one camera and no history."""
    return MemoryBoard()


@pytest.fixture
async def root(board: MemoryBoard) -> AsyncIterator[str]:
    """The address of a running server."""
    server = StatusServer(board, SETTINGS, SuperviseSettings())
    await server.start()
    yield server.address
    await server.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client."""
    async with aiohttp.ClientSession() as made:
        yield made


async def text_of(session: aiohttp.ClientSession, url: str) -> str:
    """Return the text of a page that is there."""
    async with session.get(url) as answer:
        assert answer.status == 200
        return await answer.text()


# ------------------------------------------------------------------------------------------------ health


async def test_health_in_numbers_and_words(root: str, board: MemoryBoard, session: aiohttp.ClientSession) -> None:
    """The body says status and reasons per subsystem, what waits since when, and how long it will take."""
    board.numbers = queue(waiting=5, backlog_bytes=MB, oldest_age=90_000.04, drain_seconds=61.26, dead=1)
    async with session.get(f"{root}/health") as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert answer.headers["Cache-Control"] == "no-store"
        body = await answer.json()
    assert body["status"] == "degraded"
    assert body["subsystems"]["outbox"]["status"] == "degraded"
    assert len(body["subsystems"]["outbox"]["reasons"]) == 2
    assert body["subsystems"]["cameras"] == {"status": "ok", "reasons": []}
    assert body["cameras"] == {"front": "Watching"}
    assert body["link"] == "up"
    assert body["outbox"] == {
        "oldest_unsent_age_s": 90000.0,
        "backlog_bytes": MB,
        "drain_s": 61.3,
        "waiting": 5,
        "held": 0,
        "sent": 3,
        "proven": 12,
        "dead": 1,
        "deleted": 4,
        "losses": 0,
    }


async def test_failing_is_503(root: str, board: MemoryBoard, session: aiohttp.ClientSession) -> None:
    """Only what breaks the promise gets the status that monitors alarm at."""
    board.shown = view(disk=disk(level="critical"))
    async with session.get(f"{root}/health") as answer:
        assert answer.status == 503
        assert (await answer.json())["status"] == "failing"


async def test_a_database_that_hangs_does_not_hang_health(session: aiohttp.ClientSession) -> None:
    """When the outbox gives no answer, /health does, the page too, and both say so."""

    class Hanging(MemoryBoard):
        async def queue(self) -> Any:
            await asyncio.Event().wait()

    server = StatusServer(Hanging(), SETTINGS, SuperviseSettings(), patience=0.05)
    await server.start()
    async with session.get(f"{server.address}/health") as answer:
        body = await answer.json()
    page = await text_of(session, server.address)
    await server.stop()
    assert (answer.status, body["outbox"]) == (503, None)
    assert "does not answer" in body["subsystems"]["outbox"]["reasons"][0]
    assert "The outbox does not answer" in page


async def test_metrics_are_served(root: str, session: aiohttp.ClientSession) -> None:
    """Prometheus gets its text format."""
    async with session.get(f"{root}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert 'edged_camera_delivering{camera="front"} 1.0' in await answer.text()


# ------------------------------------------------------------------------------------------------- pages


async def test_a_new_device_greets_with_empty_states(root: str, session: aiohttp.ClientSession) -> None:
    """A page without data says what will be there."""
    page = await text_of(session, root)
    for text in ("Corner shop", "All is well", "Nothing has happened yet", "Nothing waits", "Nothing is missing"):
        assert text in page
    assert "Fri 29 May, 14:00" in page  # noon UTC in the site's zone


async def test_the_page_shows_all_of_the_board(root: str, board: MemoryBoard, session: aiohttp.ClientSession) -> None:
    """Cameras with motion boxes, incidents with their words, the queue with its progress, disk, gaps, losses."""
    moving = Region(x=0.25, y=0.5, w=0.1, h=0.2, zone="gate")
    board.shown = view(cameras=(camera(regions=(moving,), incident="b" * 32),), transfers=(transfer(),))
    board.numbers = queue(waiting=2, backlog_bytes=MB, oldest_age=600.0, drain_seconds=5.0)
    board.rows = [
        incident(
            "a" * 32,
            clips=[clip("c" * 32, 1, 30.0), clip("d" * 32, 2, 12.4)],
            snapshots=[snapshot("e" * 32)],
            deliveries=[delivery(1, state="done", proof="signed")],
        )
    ]
    board.waiting = [delivery(7), delivery(8, kind="snapshot", last_error="no route")]
    board.gap_rows, board.loss_rows = [gap()], [loss()]
    page = await text_of(session, root)
    for text in (
        '<rect x="25.00" y="50.00" width="10.00" height="20.00"',
        "Recording an incident",
        "front, gate",
        "Fri 29 May, 13:59:00",
        '<span class="shot-tag">0:42</span>',
        f"/media/snapshot/{'e' * 32}.jpg",
        "Proven safe at the receiver",
        "front-1.mp4",
        '<progress max="100000000" value="42000000"',
        "Waiting: no route",
        "The oldest has waited for 10 min.",
        "about 5 s",
        "41.0 GB free of 64.0 GB",
        "no picture for 12 s",
        "the disk was full",
    ):
        assert text in page
    assert 'id="delivery-8"' in page
    assert 'id="delivery-7"' not in page, "what is being sent is not listed as waiting, too"


async def test_an_incident_has_a_page(root: str, board: MemoryBoard, session: aiohttp.ClientSession) -> None:
    """Its clip as one, its facts, who gets it; parts that were deleted here are not offered."""
    board.rows = [
        incident(
            clips=[clip("c" * 32, 1, 30.0, here=False), clip("d" * 32, 2, 12.0)],
            snapshots=[snapshot("e" * 32)],
            deliveries=[delivery(1, state="done", proof="signed")],
            continues="f" * 32,
            recovered=True,
        )
    ]
    page = await text_of(session, f"{root}/incidents/{'a' * 32}")
    assert page.count("<edged-player") == 1
    assert f"/media/clip/{'d' * 32}.mp4" in page
    assert f"&#34;url&#34;: &#34;/media/clip/{'c' * 32}" not in page
    for text in (
        "0:42",
        "in 2 parts, 6.0 MB",
        "found again after a power cut",
        f"/incidents/{'f' * 32}",
        "Proven safe",
    ):
        assert text in page


async def test_an_unknown_incident_is_a_friendly_404(root: str, session: aiohttp.ClientSession) -> None:
    """A link that is too old leads to a page with a way back."""
    async with session.get(f"{root}/incidents/none") as answer:
        assert answer.status == 404
        assert "no such incident" in await answer.text()


async def test_names_from_outside_are_text(root: str, board: MemoryBoard, session: aiohttp.ClientSession) -> None:
    """Errors, zones and file names of any wickedness stay text, also within attributes."""
    evil = "\"'><img src=x onerror=alert(1)>"
    board.shown = view(title=evil, transfers=(transfer(name=evil),))
    board.rows = [incident(zones=[evil], clips=[clip("c" * 32, 1, 3.0)])]
    board.waiting = [delivery(8, last_error=evil)]
    for path in ("/", f"/incidents/{'a' * 32}"):
        assert "<img src=x" not in await text_of(session, root + path)


# ------------------------------------------------------------------------------------------------- media


async def test_pictures_are_made_once_for_all_who_look(
    root: str, board: MemoryBoard, session: aiohttp.ClientSession
) -> None:
    """Ten requests at once cost one picture; it is kept by no cache; an unknown camera has none."""
    board.pictures["front"] = jpeg()

    async def fetch() -> bytes:
        async with session.get(f"{root}/pictures/front.jpg") as answer:
            assert (answer.content_type, answer.headers["Cache-Control"]) == ("image/jpeg", "no-store")
            return await answer.read()

    assert set(await asyncio.gather(*(fetch() for _ in range(10)))) == {board.pictures["front"]}
    assert board.asked == 1
    board.pictures["secret"] = jpeg()
    async with session.get(f"{root}/pictures/secret.jpg") as answer:
        assert answer.status == 404


async def test_a_clip_can_be_sought_in(
    root: str, board: MemoryBoard, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """A player asks for ranges and gets them."""
    (tmp_path / "part.mp4").write_bytes(bytes(range(200)))
    board.files["clip", "c" * 32] = tmp_path / "part.mp4"
    async with session.get(f"{root}/media/clip/{'c' * 32}.mp4", headers={"Range": "bytes=10-19"}) as answer:
        assert (answer.status, answer.content_type) == (206, "video/mp4")
        assert await answer.read() == bytes(range(10, 20))


@pytest.mark.parametrize(
    "path",
    [
        "/media/clip/none.mp4",
        "/media/clip/cc.jpg",
        "/media/clip/cc",
        "/media/clip/.mp4",
        "/media/document/cc.mp4",
        "/media/clip/..%2F..%2Fetc%2Fpasswd.mp4",
        "/pictures/none.jpg",
        "/stills/none.jpg",
        "/events?incident=none",
        "/favicon.ico",
    ],
)
async def test_what_is_not_there_is_404(
    root: str, board: MemoryBoard, session: aiohttp.ClientSession, path: str, tmp_path: Path
) -> None:
    """No name leads to anything but the board's own files, under their own ending."""
    board.files["clip", "cc"] = tmp_path / "part.mp4"
    (tmp_path / "part.mp4").write_bytes(b"x")
    async with session.get(URL(root + path, encoded=True)) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_written(root: str, session: aiohttp.ClientSession, method: str) -> None:
    """There is no address that takes anything."""
    for path in ("/", "/health", "/events", "/media/clip/cc.mp4"):
        async with session.request(method, root + path) as answer:
            assert answer.status == 405


# -------------------------------------------------------------------------------------------------- live


class Listener:
    """Reads server-sent events from an open response."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> tuple[str, dict[str, str]]:
        """Return the next event's name and data."""
        name = ""
        async with asyncio.timeout(10):
            while True:
                line = (await self.answer.content.readline()).decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    return name, json.loads(line.removeprefix("data: "))


async def test_live_events_carry_only_what_changed(
    root: str, board: MemoryBoard, session: aiohttp.ClientSession
) -> None:
    """First everything, then nothing until something changes, then that part alone; a new listener gets all."""
    async with session.get(f"{root}/events") as answer:
        assert answer.content_type == "text/event-stream"
        listener = Listener(answer)
        assert (await listener.next())[0] == "hello"
        name, parts = await listener.next()
        assert (name, set(parts)) == (
            "parts",
            {"now", "health", "cameras", "incidents", "queue", "system", "ledger"},
        )
        board.gap_rows = [gap("the cable was pulled")]
        _, parts = await listener.next()
        assert set(parts) == {"ledger"}
        assert "the cable was pulled" in parts["ledger"]
        board.shown = replace(board.shown, transfers=(transfer(),))
        _, parts = await listener.next()
        assert set(parts) == {"queue"}
        async with session.get(f"{root}/events") as second:
            later = Listener(second)
            await later.next()
            assert len((await later.next())[1]) == 7


async def test_an_incidents_page_is_live_too(root: str, board: MemoryBoard, session: aiohttp.ClientSession) -> None:
    """A part that is sealed while someone looks arrives on the incident's own stream."""
    board.rows = [incident(closed=None)]
    async with session.get(f"{root}/events?incident={'a' * 32}") as answer:
        listener = Listener(answer)
        await listener.next()
        assert "Its clip is being recorded" in (await listener.next())[1]["incident"]
        board.rows = [incident(closed=None, clips=[clip("c" * 32, 1, 30.0)])]
        _, parts = await listener.next()
        assert set(parts) == {"incident"}
        assert "<edged-player" in parts["incident"]


async def test_a_board_is_looked_at_once_for_all_listeners(
    root: str, board: MemoryBoard, session: aiohttp.ClientSession
) -> None:
    """Eight live pages cost as much looking as one; a page too many is told so."""
    answers = [await session.get(f"{root}/events") for _ in range(24)]
    for answer in answers:
        listener = Listener(answer)
        await listener.next()
        await listener.next()
    assert board.looked <= 3
    async with session.get(f"{root}/events") as refused:
        assert refused.status == 503
    for answer in answers:
        answer.close()


async def test_the_server_stops_although_pages_are_open(board: MemoryBoard, session: aiohttp.ClientSession) -> None:
    """An open live page ends with the server, and the address is free at once."""
    server = StatusServer(board, SETTINGS, SuperviseSettings())
    await server.start()
    async with session.get(f"{server.address}/events") as answer:
        await Listener(answer).next()
        async with asyncio.timeout(10):
            await server.stop()
        with contextlib.suppress(aiohttp.ClientError):
            await answer.content.read()  # ends, cut or not: it would go on for ever otherwise
    again = StatusServer(board, HttpSettings(listen=server.address.removeprefix("http://")), SuperviseSettings())
    await again.start()
    assert again.address == server.address
    await again.stop()


async def test_live_pages_end_first_when_the_server_stops(session: aiohttp.ClientSession) -> None:
    """A live page, which never ends by itself, hangs up at once; an answer under way is still given."""
    asked, release = asyncio.Event(), asyncio.Event()

    class Slow(MemoryBoard):
        async def picture(self, camera: str) -> bytes | None:
            asked.set()
            await release.wait()
            return b"late"

    async def fetch() -> bytes:
        async with session.get(f"{server.address}/pictures/front.jpg") as answer:
            return await answer.read()

    server = StatusServer(Slow(), SETTINGS, SuperviseSettings())
    await server.start()
    async with session.get(f"{server.address}/events") as live:
        await Listener(live).next()
        picture = asyncio.create_task(fetch())
        await asked.wait()
        stopping = asyncio.create_task(server.stop())
        with contextlib.suppress(aiohttp.ClientError):
            await live.content.read()
        release.set()
        assert await picture == b"late"
    await stopping


async def test_stopping_what_never_started(board: MemoryBoard) -> None:
    """A taken port fails with OSError, and stopping such a server is harmless."""
    first = StatusServer(board, SETTINGS, SuperviseSettings())
    await first.start()
    second = StatusServer(board, HttpSettings(listen=first.address.removeprefix("http://")), SuperviseSettings())
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    await second.stop()
    await first.stop()


# --------------------------------------------------------------------------------------- who may ask


@pytest.mark.parametrize(
    ("header", "hosts", "loopback", "allowed"),
    [
        ("127.0.0.1:8377", (), True, True),
        ("localhost:8377", (), True, True),
        ("LOCALHOST", (), True, True),
        ("[::1]:8377", (), True, True),
        ("192.168.1.7", (), True, True),
        ("evil.example:8377", (), True, False),
        ("localhost.evil.example", (), True, False),
        ("127.0.0.1.evil.example", (), True, False),
        ("", (), True, False),
        ("[::1", (), True, True),
        ("[evil.example]", (), True, False),
        ("shop.example.org", ("shop.example.org",), True, True),
        ("shop.local:8377", (), False, True),
        ("evil.example", ("shop.example.org",), False, False),
    ],
)
def test_which_names_may_be_asked_by(header: str, hosts: tuple[str, ...], loopback: bool, allowed: bool) -> None:
    """Addresses always; names when they are known, or when the page is for others anyway and none is listed."""
    assert host_allowed(header, hosts, loopback=loopback) is allowed


async def test_a_rebound_name_reads_nothing(root: str, session: aiohttp.ClientSession) -> None:
    """A request under a foreign name is refused for pages, files, pictures and numbers alike."""
    for path in ("/", "/health", "/metrics", "/events", "/pictures/front.jpg", "/static/edged.css"):
        async with session.get(root + path, headers={"Host": "evil.example:8377"}) as answer:
            assert answer.status == 421
            assert "Corner shop" not in await answer.text()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("shop", False)],
)
def test_what_loopback_is(host: str, loopback: bool) -> None:
    """Only addresses that no one else can reach."""
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("listen", ["8377", "127.0.0.1", ":80", "127.0.0.1:x", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    """The setting says what it should look like."""
    with pytest.raises(ValueError, match=r"listen: .* is no address"):
        HttpSettings(listen=listen, picture_every=Duration(1.0))
