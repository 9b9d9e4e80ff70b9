"""Hostile and clumsy requests: each gets a sentence on what to do, none a 5xx, and nothing of the inside."""

from __future__ import annotations

from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edged.base.secret import Secret
from edged.base.units import Duration, Size
from edged.receiver import auth
from edged.receiver.app import Serving, serve
from edged.wire import faults, manifest, receipt, tus
from tests.receiver.client import Device, manifest_of
from tests.receiver.conftest import known_device

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from edged.receiver.settings import ReceiverConfig
    from tests.receiver.client import Answer
    from tests.receiver.raw import Wire

TOLD = manifest_of(b"hello")
METADATA = manifest.to_metadata(TOLD)
GOOD = {tus.RESUMABLE: "1.0.0", tus.LENGTH: "5", tus.METADATA: METADATA}


def code(answer: Answer) -> str:
    """Return the fault's code in an answer."""
    told = msgspec.json.decode(answer.body)
    assert set(told) == {"error", "text", "detail", "retry"}
    return str(told["error"])


WRONG = [
    ("POST", "/files", {**GOOD, tus.RESUMABLE: "0.2"}, faults.VERSION),
    ("POST", "/files", {**GOOD, tus.LENGTH: "-5"}, faults.BAD_HEADER),
    ("POST", "/files", {**GOOD, tus.LENGTH: "6"}, faults.BAD_MANIFEST),
    ("POST", "/files", {**GOOD, tus.LENGTH: "9" * 15}, faults.TOO_LARGE),
    ("POST", "/files", {**GOOD, tus.METADATA: "manifest !"}, faults.BAD_MANIFEST),
    ("POST", "/files", {**GOOD, tus.METADATA: "manifest " + "A" * 8200}, faults.BAD_MANIFEST),
    ("POST", "/files", {tus.RESUMABLE: "1.0.0", tus.LENGTH: "5"}, faults.BAD_MANIFEST),
    ("POST", "/files", {tus.RESUMABLE: "1.0.0", tus.DEFER_LENGTH: "1", tus.METADATA: METADATA}, faults.BAD_HEADER),
    ("HEAD", "/files/unknown", {tus.RESUMABLE: "1.0.0"}, faults.GONE),
    ("HEAD", "/files/..%2F..%2Fetc%2Fpasswd", {tus.RESUMABLE: "1.0.0"}, faults.GONE),
    ("HEAD", "/files/%00", {tus.RESUMABLE: "1.0.0"}, faults.GONE),
    ("DELETE", "/files/unknown", {tus.RESUMABLE: "1.0.0"}, faults.GONE),
    ("PUT", "/files/unknown", {}, faults.METHOD),
    ("POST", "/files/unknown", {}, faults.METHOD),
    ("GET", "/receipts/..%2F..", {}, faults.NOT_FOUND),
    ("GET", "/clips/unknown", {}, faults.NOT_FOUND),
    ("GET", "/nowhere", {}, faults.NOT_FOUND),
    ("POST", "/heartbeat", {}, faults.BAD_REQUEST),
]


@pytest.mark.parametrize(("method", "target", "headers", "fault"), WRONG, ids=range(len(WRONG)))
async def test_a_signed_but_wrong_request(
    shop: Device, method: str, target: str, headers: dict[str, str], fault: faults.Fault
) -> None:
    """A device that is known may still be wrong."""
    answer = await shop.request(method, target, headers)
    assert answer.status == fault.status
    if method != "HEAD":
        assert code(answer) == fault.code


async def test_a_patch_must_be_a_patch(shop: Device) -> None:
    """Its type and its announced length are held to the upload."""
    location = (await shop.create(TOLD)).headers["Location"]
    headers = {tus.RESUMABLE: "1.0.0", tus.OFFSET: "0", "Content-Type": "text/plain"}
    assert code(await shop.request("PATCH", location, headers, b"hello", stream=True)) == "type"
    assert code(await shop.patch(location, 0, b"hello!")) == "too-large"
    assert code(await shop.patch(location, 3, b"lo")) == "offset"
    assert (await shop.head(location)).offset == 0


async def test_nobody_else_sees_an_upload(shop: Device, shed: Device) -> None:
    """Another device's upload does not exist for you."""
    location = (await shop.create(TOLD)).headers["Location"]
    assert (await shed.head(location)).status == 410
    assert (await shed.patch(location, 0, b"hello")).status == 410
    assert (await shed.request("DELETE", location, {tus.RESUMABLE: "1.0.0"})).status == 410
    await shop.patch(location, 0, b"hello")
    assert (await shed.request("GET", f"/clips/{TOLD.key}")).status == 404


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/files"),
        ("HEAD", "/files/x"),
        ("PATCH", "/files/x"),
        ("DELETE", "/files/x"),
        ("GET", "/receipts/x"),
        ("GET", "/clips/x"),
        ("POST", "/heartbeat"),
    ],
)
async def test_without_a_signature_nothing_goes(shop: Device, method: str, target: str) -> None:
    """Every address of the devices wants a signature, and each 401 tells the time."""
    async with shop._session.request(method, shop.url + target) as response:
        assert response.status == 401
        assert abs(int(response.headers["Edged-Time"]) - shop.now) < 60


async def test_unknown_device_and_wrong_key_look_alike(receiver: Serving, shop: Device) -> None:
    """Nobody learns which devices exist."""
    answers = []
    for name, key in (("shop", "wrong"), ("nobody", "wrong"), ("nobody", auth._NO_KEY)):
        async with Device(shop.url, name, key, shop.now) as impostor:
            answer = await impostor.request("GET", "/receipts/x")
            answers.append((answer.status, answer.body))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 401


async def test_a_box_in_1970_learns_the_time(receiver: Serving, shop: Device) -> None:
    """Its clock is refused, the answer carries the time, and with that it signs."""
    real, shop.now = shop.now, 60.0
    refused = await shop.create(TOLD)
    assert code(refused) == "clock"
    shop.now = float(refused.headers["Edged-Time"])
    assert abs(shop.now - real) < 60
    assert (await shop.create(TOLD)).status == 201


async def test_a_signature_is_for_one_request(shop: Device) -> None:
    """A signature can't be carried over to another target or another manifest."""
    headers = shop.signed("POST", "/files", GOOD)
    other = manifest.to_metadata(manifest_of(b"other"))
    async with shop._session.post(shop.url + "/files", headers={**headers, tus.METADATA: other}) as response:
        assert response.status == 401
    async with shop._session.post(shop.url + "/files?x=1", headers=headers) as response:
        assert response.status == 401
    async with shop._session.post(shop.url + "/files", headers=headers) as response:
        assert response.status == 201


async def test_a_removed_device_is_refused(receiver: Serving, shop: Device) -> None:
    """From the next request on."""
    assert (await shop.create(TOLD)).status == 201
    await receiver.world.registry.remove_device("shop")
    assert (await shop.create(TOLD)).status == 401


async def test_limits(config: ReceiverConfig) -> None:
    """Size, content types and the number of open uploads are held."""
    limits = replace(config.limits, largest=Size(10), types=("video/mp4", "image/*"), open_uploads=2)
    async with serve(replace(config, limits=limits)) as serving, await known_device(serving, "shop") as shop:
        assert code(await shop.create(manifest_of(b"x" * 11))) == "too-large"
        assert code(await shop.create(manifest_of(b"x", content_type="text/html"))) == "type"
        assert (await shop.create(manifest_of(b"x", content_type="image/png"))).status == 201
        assert (await shop.create(manifest_of(b"x"))).status == 201
        refused = await shop.create(manifest_of(b"x"))
        assert (refused.status, code(refused)) == (429, "too-many")


async def test_a_full_disk_refuses_and_says_when_to_come_back(config: ReceiverConfig) -> None:
    """Below the reserve new bytes are refused; what is there can still be read."""
    limits = replace(config.limits, reserve=Size(2**60))
    async with serve(replace(config, limits=limits)) as serving, await known_device(serving, "shop") as shop:
        refused = await shop.create(TOLD)
        assert (refused.status, code(refused), refused.headers["Retry-After"]) == (507, "full", "600")


async def test_expiry(config: ReceiverConfig) -> None:
    """An upload says until when it is kept, and then is thrown away."""
    limits = replace(config.limits, upload_life=Duration(0.01))
    async with serve(replace(config, limits=limits)) as serving, await known_device(serving, "shop") as shop:
        created = await shop.create(TOLD)
        assert abs(parsedate_to_datetime(created.headers[tus.EXPIRES]).timestamp() - shop.now) < 60
        while not await serving.world.uploads.expire():
            pass
        assert (await shop.head(created.headers["Location"])).status == 410
        assert list((config.state / "partial").iterdir()) == []


async def test_options_tells_what_is_spoken(shop: Device) -> None:
    """OPTIONS needs no signature."""
    async with shop._session.options(shop.url + "/files") as response:
        assert response.status == 204
        assert response.headers[tus.SUPPORTED_VERSION] == "1.0.0"
        assert response.headers[tus.EXTENSION] == "creation,expiration,termination"
        assert int(response.headers[tus.MAX_SIZE]) == 8 * 1024**3


async def test_a_foreign_client_with_a_token(config: ReceiverConfig, tmp_path: Path) -> None:
    """A plain tus client uploads under its token's name; what it says of the file is cleaned."""
    secret = tmp_path / "token"
    secret.write_text("s3cret")
    secret.chmod(0o600)
    with_token = replace(config, tokens={"web": Secret("file", str(secret))})
    async with serve(with_token) as serving, await known_device(serving, "any") as client:
        bearer = {"Authorization": "Bearer s3cret", tus.RESUMABLE: "1.0.0"}
        metadata = tus.format_metadata({"filename": b"../a\x00b.txt", "filetype": b"Text/Plain"})
        headers = {**bearer, tus.LENGTH: "5", tus.METADATA: metadata}
        async with client._session.post(client.url + "/files", headers=headers) as response:
            assert response.status == 201
            location = response.headers["Location"]
        headers = {**bearer, tus.OFFSET: "0", "Content-Type": tus.CONTENT_TYPE, "X-HTTP-Method-Override": "PATCH"}
        async with client._session.post(client.url + location, headers=headers, data=b"hello") as response:
            assert response.status == 204
            proof = receipt.from_header(response.headers[receipt.HEADER])
        (file,) = await serving.world.store.documents("web", 10)
        assert (file.name, file.content_type, file.key) == (".._a_b.txt", "text/plain", proof.key)
        assert receipt.verify(proof, "s3cret")
        wrong = {**bearer, "Authorization": "Bearer wrong"}
        async with client._session.post(client.url + "/files", headers=wrong) as response:
            assert response.status == 401


POST = b"POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
RAW = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET  HTTP/1.1\r\n\r\n",
    b"POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(500)) + b"\r\n",
    b"GET /i/a/b?until=\xff\xfe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    POST % b"/heartbeat" + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    POST % b"/heartbeat" + b"Content-Length: 99999999\r\n\r\nabc",
    POST % b"/probe" + b"Authorization: Edged \xff\r\n\r\n",
    b"GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Edged \xff\r\n\r\n",
    POST % b"/login" + b"Content-Length: 300\r\n\r\n" + b"a=1&" * 75,
    POST % b"/login" + b"Content-Type: multipart/form-data\r\nContent-Length: 3\r\n\r\nabc",
    POST % b"/login" + b"Cookie: edged_form=x; edged_session=y:1:z\r\nContent-Length: 0\r\n\r\n",
    POST % b"/login" + b"Cookie: edged_form=\xff; edged_session=\xff\r\nContent-Length: 9\r\n\r\ntoken=\xff\xfe!",
    b"GET /devices/\xff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /devices/%ff%ed%a0%80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET /login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIf-Range: Mon, 01 Jan 99999999999999 00:00:00 GMT\r\n\r\n",
]


@pytest.mark.parametrize("request_", RAW, ids=range(len(RAW)))
async def test_bytes_that_are_no_request(dial: Callable[[], Awaitable[Wire]], request_: bytes) -> None:
    """Garbage, smuggling and floods end in a 4xx or a closed line, with no word about the inside."""
    wire = await dial()
    await wire.send(request_)
    answer = await wire.answer()
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 3"))
    for word in (b"Traceback", b"/edged/", b"sqlite"):
        assert word not in answer


printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)
requests = st.tuples(
    st.sampled_from(["POST", "HEAD", "PATCH", "DELETE"]),
    st.text("abc123._-~!$&'()*+,;=:@/", max_size=60),
    st.fixed_dictionaries({tus.OFFSET: printable, tus.LENGTH: printable, tus.METADATA: printable}),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request_=requests)
async def test_no_signed_request_breaks_the_receiver(shop: Device, request_: tuple[str, str, dict[str, str]]) -> None:
    """Whatever a device with a valid key sends, it gets an answer below 500."""
    method, tail, headers = request_
    target = "/files" if method == "POST" else f"/files/x{tail}"
    answer = await shop.request(method, target, {tus.RESUMABLE: "1.0.0", **headers}, b"abc", stream=True)
    assert 400 <= answer.status < 500
