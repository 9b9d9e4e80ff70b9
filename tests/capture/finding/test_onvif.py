"""Network cameras: found by WS-Discovery, asked by ONVIF; and what strangers may answer."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.clock import SystemClock
from edged.base.errors import CameraError
from edged.capture.finding import soap
from edged.capture.finding.discovery import matches, network_cameras, probe
from edged.capture.finding.onvif import LoginError, Profile, at_host, paired, streams
from tests.onvif_camera import Channel, OnvifCamera, serve_camera

LOGIN = ("viewer", "s3cret&<ä>")
MAIN = Channel(token="main", url="rtsp://10.255.255.1:8554/main?profile=1&amp;x=2")
SUB = Channel(token="sub", url="rtsp://10.255.255.1:8554/sub", width=640, height=360)


def camera(*channels: Channel, ahead: float = 0.0) -> OnvifCamera:
    """Return a camera with the usual login."""
    return OnvifCamera(login=LOGIN, channels=channels or (MAIN, SUB), ahead=ahead)


async def test_a_camera_is_found_and_tells_its_streams() -> None:
    """The probe finds it at the address that answered; its large stream and a small one come at that host."""
    async with serve_camera(camera(), discoverable=True) as eye:
        around = await network_cameras(wait=2.0, addresses=["127.0.0.1"])
        (found,) = (each for each in around if each.service == eye.service)  # other tests may have cameras there, too
        assert (found.kind, found.name) == ("network", "Acme Eye E-1")
        (told,) = await streams(eye.service, *LOGIN, SystemClock())
        assert told.url == "rtsp://viewer@127.0.0.1:8554/main?profile=1&x=2"
        assert told.substream == "rtsp://viewer@127.0.0.1:8554/sub"
        assert told.text == "1920x1080 H264, 640x360 for detection"


@pytest.mark.parametrize("ahead", [-86_400.0, 0.0, 3600.0])
async def test_a_camera_whose_clock_is_wrong_takes_the_login(ahead: float) -> None:
    """The digest is of the camera's time, whatever ours is."""
    async with serve_camera(camera(ahead=ahead)) as eye:
        assert await streams(eye.service, *LOGIN, SystemClock())


async def test_a_camera_that_takes_the_login_by_http_alone() -> None:
    """The digest of HTTP, which newer cameras demand; a wrong password is told apart as well."""
    async with serve_camera(camera()) as eye:
        eye.by_http = True
        assert await streams(eye.service, *LOGIN, SystemClock())
        with pytest.raises(LoginError):
            await streams(eye.service, LOGIN[0], "wrong", SystemClock())


@pytest.mark.parametrize("login", [("viewer", "wrong"), ("nobody", LOGIN[1]), ("", "")])
async def test_a_wrong_login_is_told_apart(login: tuple[str, str]) -> None:
    """A camera that refuses the login raises what lets a person be asked again."""
    async with serve_camera(camera()) as eye:
        with pytest.raises(LoginError, match=r"127\.0\.0\.1 refuses the user or the password"):
            await streams(eye.service, *login, SystemClock())


async def test_a_recorder_with_channels_tells_each() -> None:
    """Profiles belong together by their source; what can't be copied is left out."""
    channels = (
        Channel(token="a", url="rtsp://h/a", source="1"),
        Channel(token="b", url="rtsp://h/b", source="2"),
        Channel(token="b2", url="rtsp://h/b2", source="2", width=320, height=180),
        Channel(token="j", url="rtsp://h/j", source="2", width=4000, height=3000, encoding="JPEG"),
    )
    async with serve_camera(camera(*channels)) as eye:
        told = await streams(eye.service, *LOGIN, SystemClock())
    assert [(each.url.rpartition("/")[2], each.substream.rpartition("/")[2]) for each in told] == [
        ("a", ""),
        ("b", "b2"),
    ]


async def test_a_camera_without_a_stream_that_can_be_copied_is_told() -> None:
    """Motion JPEG alone is refused with what to do."""
    async with serve_camera(camera(Channel(token="j", url="rtsp://h/j", encoding="JPEG"))) as eye:
        with pytest.raises(CameraError, match=r"no H\.264 or HEVC stream; switch one on"):
            await streams(eye.service, *LOGIN, SystemClock())


async def test_nobody_there_is_told() -> None:
    """A port that nobody listens at is an error in words."""
    with pytest.raises(CameraError, match=r"127\.0\.0\.1 can't be asked by ONVIF"):
        await streams("http://127.0.0.1:9/onvif/device_service", *LOGIN, SystemClock())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<a>" + b"x" * 2_000_000, "answers without end"),
        (b"<html><p>Login</html>", "no XML"),
        (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        (b"<a>" * 100_000, "no XML"),
    ],
    ids=["endless", "a page", "entities", "deep"],
)
async def test_a_peer_that_is_no_camera_is_given_up(body: bytes, told: str) -> None:
    """What answers at the address may be anything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(CameraError, match=told):
        await streams(f"http://127.0.0.1:{port}/", *LOGIN, SystemClock())
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("url", ["http://h/x", "rtsp://h/\x85x", ""])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    """It would end in the configuration, and on the terminal."""
    async with serve_camera(camera(Channel(token="t", url=url))) as eye:
        with pytest.raises(CameraError, match="names no RTSP address"):
            await streams(eye.service, *LOGIN, SystemClock())


def test_a_fault_is_told_in_words_that_are_fit_to_be_shown() -> None:
    """Its codes and its reason."""
    told = soap.read(
        soap.envelope(
            "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>x:NoProfile</s:Value></s:Subcode>"
            "</s:Code><s:Reason><s:Text>no\x85 such profile</s:Text></s:Reason></s:Fault>"
        )
    )
    assert soap.fault(told) == "Sender NoProfile no such profile"


def test_the_digest_is_the_standard_s() -> None:
    """UsernameToken Profile 1.0: Base64(SHA-1(nonce + created + password))."""
    header = soap.login("a", "p", 0.0, nonce=b"n" * 16)
    digest = base64.b64encode(hashlib.sha1(b"n" * 16 + b"1970-01-01T00:00:00Z" + b"p").digest()).decode()
    assert f'#PasswordDigest">{digest}</w:Password>' in header
    assert "<u:Created>1970-01-01T00:00:00Z</u:Created>" in header


@pytest.mark.parametrize(
    ("url", "service", "wanted"),
    [
        ("rtsp://10.0.0.1:554/a?b=c", "http://192.168.1.2:8000/x", "rtsp://192.168.1.2:554/a?b=c"),
        ("rtsp://10.0.0.1/a", "http://[fe80::1]/x", "rtsp://[fe80::1]/a"),
        ("http://10.0.0.1:80/media", "http://cam.lan/x", "http://cam.lan:80/media"),
    ],
)
def test_addresses_are_those_that_can_be_reached(url: str, service: str, wanted: str) -> None:
    """Host and port: the one of the service that answered, the other as told."""
    assert at_host(url, service) == wanted


def test_a_lone_profile_has_no_smaller_one() -> None:
    """A substream of the same size would be decoded twice for nothing."""
    one = Profile(token="a", source="s", encoding="H264", width=640, height=480)
    assert paired([one, one]) == [(one, None)]


@given(st.binary(max_size=300))
def test_any_datagram_is_taken(data: bytes) -> None:
    """Strangers may answer anything: nothing is raised and nothing comes of it."""
    assert matches([("192.0.2.1", data)]) == []


@given(st.binary(max_size=30))
def test_any_name_is_fit_to_be_shown(name: bytes) -> None:
    """A camera's name holds nothing that a terminal would obey."""
    answer = camera().match(probe("00000000-0000-4000-8000-000000000000")).decode()
    spoiled = answer.replace("Acme%20Eye", "%1b%5b2J" + "".join(f"%{byte:02x}" for byte in name)).encode()
    (found,) = matches([("127.0.0.1", spoiled)])
    assert found.name.isprintable()
    assert found.name.startswith("[2J")
