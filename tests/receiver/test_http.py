"""What the receiver's answers carry: ranges, safe headers, cookies, and no way in for forged forms."""

from __future__ import annotations

import re
import sqlite3
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from edged.receiver import admin, guard
from edged.receiver.app import Serving, serve
from edged.receiver.sessions import COOKIE
from edged.receiver.settings import LoginSettings
from edged.wire import faults, signing
from edged.wire.faults import FaultError
from tests.receiver.client import manifest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from edged.receiver.settings import ReceiverConfig
    from tests.receiver.client import Device

PASSWORD = "correct horse"


@asynccontextmanager
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a client that keeps cookies, also from an address without a name."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        yield client


async def token_in(client: aiohttp.ClientSession, url: str) -> str:
    """Return the hidden token of the first form on a page."""
    async with client.get(url) as response:
        found = re.search(r'name="token" value="([0-9a-f]{64})"', await response.text())
    assert found is not None
    return found[1]


async def log_in(
    client: aiohttp.ClientSession, url: str, password: str = PASSWORD, headers: dict[str, str] | None = None
) -> aiohttp.ClientResponse:
    """Fill the login form in and return the answer."""
    form = {"name": "ann", "password": password, "next": "/", "token": await token_in(client, f"{url}/login")}
    async with client.post(f"{url}/login", data=form, headers=headers, allow_redirects=False) as response:
        return response


async def test_a_device_reads_back_what_it_sent(shop: Device) -> None:
    """Whole or in part, as a player asks for it."""
    told = manifest_of(b"0123456789")
    await shop.upload(b"0123456789", told)
    whole = await shop.request("GET", f"/clips/{told.key}")
    assert (whole.status, whole.body, whole.headers["Content-Type"]) == (200, b"0123456789", "video/mp4")
    part = await shop.request("GET", f"/clips/{told.key}", {"Range": "bytes=2-4"})
    assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert (await shop.request("GET", f"/clips/{told.key}", {"Range": "bytes=20-"})).status == 416


@pytest.mark.parametrize("content_type", ["text/html", "image/svg+xml", "application/pdf"])
async def test_nothing_that_a_browser_would_run_is_shown(receiver: Serving, shop: Device, content_type: str) -> None:
    """It is offered for download as plain bytes, under a name that can't break the header."""
    await admin.add_user(receiver.world.config, "ann", PASSWORD)
    data = b"<script>alert(1)</script>"
    await shop.upload(data, manifest_of(data, kind="document", content_type=content_type, name='a";\u00e4.html'))
    (file,) = await receiver.world.store.documents("shop", 1)
    async with browser() as client:
        await log_in(client, shop.url)
        async with client.get(f"{shop.url}/media/{file.id}") as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "application/octet-stream"
            assert response.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%22%3B%C3%A4.html"
            assert response.headers["Content-Security-Policy"].endswith("sandbox")
            assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_headers(shop: Device) -> None:
    """Browsers get their safety, devices get no byte too many, nobody learns what runs here."""
    async with shop._session.get(f"{shop.url}/login") as response:
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        assert "Server" not in response.headers
    probe = await shop.request("GET", "/probe")
    assert (probe.status, probe.headers["Edged-Receiver"]) == (204, "1")
    assert "Content-Security-Policy" not in probe.headers
    assert "Server" not in probe.headers
    assert abs(int(probe.headers["Edged-Time"]) - shop.now) < 60


async def test_a_probe_holds_a_signature_to_its_key(shop: Device) -> None:
    """So that a wrong key is found before anything is sent."""
    shop.key = "wrong"
    assert (await shop.request("GET", "/probe")).status == 401


async def test_forms_from_elsewhere_are_refused(receiver: Serving, shop: Device) -> None:
    """Without this browser's token nobody is logged in, nor out."""
    await admin.add_user(receiver.world.config, "ann", PASSWORD)
    async with browser() as client:
        for form in ({}, {"token": "0" * 64}):
            fields = {"name": "ann", "password": PASSWORD, **form}
            async with client.post(f"{shop.url}/login", data=fields) as response:
                assert response.status == 403
        answer = await log_in(client, shop.url)
        assert answer.status == 303
        cookie = answer.cookies[COOKIE]
        assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "Lax", "")
        async with client.post(f"{shop.url}/logout", data={}) as response:
            assert response.status == 403
        async with client.get(f"{shop.url}/", allow_redirects=False) as response:
            assert response.status == 200


async def test_behind_https_cookies_are_bound_to_it(config: ReceiverConfig) -> None:
    """The browser never sends them over a plain line."""
    async with serve(replace(config, public_url="https://cctv.example.org")) as serving, browser() as client:
        response = await client.get(f"http://127.0.0.1:{serving.port}/login")
        assert [cookie["secure"] for cookie in response.cookies.values()] == [True]


@pytest.mark.parametrize(("trusted", "wanted"), [(("127.0.0.1",), 303), ((), 429)], ids=["trusted", "not trusted"])
async def test_the_brake_counts_clients_behind_a_proxy(
    config: ReceiverConfig, trusted: tuple[str, ...], wanted: int
) -> None:
    """Two wrong passwords close the door to that client; only a trusted proxy may say who that is."""
    login = LoginSettings(tries=2, trusted_proxies=trusted)
    async with serve(replace(config, login=login)) as serving, browser() as client:
        await admin.add_user(config, "ann", PASSWORD)
        url = f"http://127.0.0.1:{serving.port}"
        for _ in range(2):
            answer = await log_in(client, url, "wrong horse", {"X-Forwarded-For": "6.6.6.6, 10.0.0.1"})
            assert answer.status == 403
        assert (await log_in(client, url, headers={"X-Forwarded-For": "10.0.0.1"})).status == 429
        assert (await log_in(client, url, headers={"X-Forwarded-For": "10.0.0.2"})).status == wanted


async def test_a_removed_account_is_out_at_once(receiver: Serving, shop: Device) -> None:
    """Its session ends with it."""
    await admin.add_user(receiver.world.config, "ann", PASSWORD)
    async with browser() as client:
        await log_in(client, shop.url)
        await admin.remove_user(receiver.world.config, "ann")
        async with client.get(f"{shop.url}/", allow_redirects=False) as response:
            assert response.headers["Location"] == "/login?next=/"


def database_full() -> sqlite3.OperationalError:
    """Return the error of a real database that may not grow."""
    database = sqlite3.connect(":memory:")
    try:
        database.execute("PRAGMA max_page_count = 1")
        database.execute("CREATE TABLE a (b)")
    except sqlite3.OperationalError as error:
        return error
    finally:
        database.close()
    raise AssertionError("it grew")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (FaultError(faults.OFFSET), faults.OFFSET),
        (web.HTTPNotFound(), faults.NOT_FOUND),
        (web.HTTPRequestEntityTooLarge(max_size=1, actual_size=2), faults.TOO_LARGE),
        (TimeoutError(), faults.IDLE),
        (web.RequestPayloadError(), faults.BAD_REQUEST),
        (OSError(5, "Input/output error"), faults.STORAGE),
        (OSError(30, "Read-only file system"), faults.STORAGE),
        (OSError(28, "No space left on device"), faults.FULL),
        (database_full(), faults.FULL),
        (sqlite3.OperationalError("database is locked"), faults.STORAGE),
        (ZeroDivisionError(), faults.INTERNAL),
    ],
    ids=repr,
)
def test_every_error_has_its_fault(error: Exception, fault: faults.Fault) -> None:
    """The border's table."""
    told = guard._fault_of(make_mocked_request("GET", "/"), error)
    assert told.fault is fault
    assert "Input/output" not in str(told)


async def test_a_link_opens_its_own_files_only(shop: Device) -> None:
    """Not another incident's with the same signature, and nothing once it has expired."""
    ids = {}
    for incident in ("i1", "i2"):
        data = incident.encode()
        created = await shop.create(manifest_of(data, incident=incident, opened=5.0))
        ids[incident] = created.headers["Location"].rpartition("/")[2]
        await shop.patch(created.headers["Location"], 0, data)
    path, _, query = signing.sign_link(key=shop.key, device="shop", incident="i1", until=shop.now + 60).partition("?")
    late = signing.sign_link(key=shop.key, device="shop", incident="i1", until=shop.now - 60).partition("?")[2]
    cases = [(f"{ids['i1']}?{query}", 200), (f"{ids['i2']}?{query}", 404), (f"{ids['i1']}?{late}", 404)]
    for tail, status in cases:
        async with shop._session.get(f"{shop.url}{path}/{tail}") as response:
            assert response.status == status
