"""A network camera's streams by ONVIF: its clock, its media service, its profiles, the address of each.

Sources: ONVIF Device Management Service Specification (GetSystemDateAndTime, GetCapabilities), ONVIF Media Service
Specification (GetProfiles, GetStreamUri). The login goes as a digest, in the message (UsernameToken) and, where the
camera asks for it, by HTTP (RFC 7616): never as a plain password.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit
from xml.sax.saxutils import escape

import aiohttp

from edged.base.errors import CameraError
from edged.capture.finding import soap

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from edged.base.clock import Clock

_DEVICE = "http://www.onvif.org/ver10/device/wsdl"
_MEDIA = "http://www.onvif.org/ver10/media/wsdl"
_SCHEMA = "http://www.onvif.org/ver10/schema"
_LARGEST = 1024 * 1024  # bytes of an answer: profiles of a recorder with many channels
_LIMIT = 10.0  # seconds for each answer
_COPIED = {"H264", "H265", "HEVC"}  # encodings that are recorded as they are
_REFUSED = (401, 403)


class LoginError(CameraError):
    """The camera does not accept the user or the password."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """One stream that the camera offers."""

    token: str
    source: str  # the sensor or channel behind it
    encoding: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Streams:
    """The streams of one sensor: the largest, and a smaller one for detection where there is one ("")."""

    url: str
    substream: str
    text: str  # what they are, for people


async def streams(service: str, user: str, password: str, clock: Clock) -> list[Streams]:
    """Ask the camera at `service` for its streams, of each sensor in order.

    LoginError when it refuses the login, CameraError when it can't be asked or offers nothing.
    """
    digest = (aiohttp.DigestAuthMiddleware(user, password, preemptive=False),) if user else ()
    timeout = aiohttp.ClientTimeout(total=_LIMIT)
    async with aiohttp.ClientSession(timeout=timeout, middlewares=digest) as session:
        device = _Peer(session, service, user, password, clock)
        await device.set_clock()
        asked = await device.ask(f'<GetCapabilities xmlns="{_DEVICE}"><Category>Media</Category></GetCapabilities>')
        address = soap.text(asked, "Body", "GetCapabilitiesResponse", "Capabilities", "Media", "XAddr")
        if not address:
            raise CameraError(f"{_host(service)} offers no ONVIF media service; enter the stream's address instead")
        device.service = at_host(address, service)
        found = profiles(await device.ask(f'<GetProfiles xmlns="{_MEDIA}"/>'))
        result = []
        for large, small in paired(found):
            urls = [await _address(device, each, service, user) if each else "" for each in (large, small)]
            result.append(Streams(url=urls[0], substream=urls[1], text=_told(large, small)))
    if not result:
        raise CameraError(f"{_host(service)} offers no H.264 or HEVC stream; switch one on in its own settings")
    return result


def profiles(root: Element) -> list[Profile]:
    """Return the profiles with video of a GetProfilesResponse."""
    found = []
    for each in root.iterfind(".//{*}Profiles"):
        video, size = "VideoEncoderConfiguration", ("VideoEncoderConfiguration", "Resolution")
        found.append(
            Profile(
                token=each.get("token", ""),
                source=soap.text(each, "VideoSourceConfiguration", "SourceToken"),
                encoding=soap.text(each, video, "Encoding").upper().replace(".", ""),
                width=_number(soap.text(each, *size, "Width")),
                height=_number(soap.text(each, *size, "Height")),
            )
        )
    return [each for each in found if each.token and each.width and each.height]


def paired(found: list[Profile]) -> list[tuple[Profile, Profile | None]]:
    """Return of each source its largest profile and its smallest, if that is smaller."""
    sources: dict[str, list[Profile]] = {}
    for each in found:
        if each.encoding in _COPIED:
            sources.setdefault(each.source, []).append(each)
    pairs = []
    for group in sources.values():
        large, small = max(group, key=_area), min(group, key=_area)
        pairs.append((large, small if _area(small) < _area(large) else None))
    return pairs


def at_host(url: str, service: str) -> str:
    """Return `url` at the host of `service`: behind a router a camera names an address that only it can reach."""
    parts, host = urlsplit(url), _host(service)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise CameraError(f"{host} names an address that is none") from None
    return urlunsplit((parts.scheme, f"[{host}]{port}" if ":" in host else f"{host}{port}", *parts[2:4], ""))


class _Peer:
    """The camera, asked one thing after the other at the address `service`."""

    def __init__(self, session: aiohttp.ClientSession, service: str, user: str, password: str, clock: Clock) -> None:
        self.service = service
        self._session = session
        self._login = (user, password)
        self._clock = clock
        self._ahead = 0.0  # seconds of the camera's clock before ours

    async def set_clock(self) -> None:
        """Learn the camera's time, for which a login holds; without an answer ours is taken."""
        answer = await self.ask(f'<GetSystemDateAndTime xmlns="{_DEVICE}"/>', anonymous=True)
        told = answer.find(".//{*}UTCDateTime")
        if told is not None:
            day = "-".join(soap.text(told, "Date", name).zfill(2) for name in ("Year", "Month", "Day"))
            hour = ":".join(soap.text(told, "Time", name).zfill(2) for name in ("Hour", "Minute", "Second"))
            with suppress(ValueError):  # no time that could be
                self._ahead = datetime.fromisoformat(f"{day}T{hour}+00:00").timestamp() - self._clock.wall()

    async def ask(self, body: str, *, anonymous: bool = False) -> Element:
        """Return the answer's root; LoginError, CameraError."""
        user, password = self._login
        named = user and not anonymous
        header = soap.login(user, password, self._clock.wall() + self._ahead) if named else ""
        kind = {"Content-Type": "application/soap+xml; charset=utf-8"}
        host = _host(self.service)
        try:
            async with self._session.post(
                self.service, data=soap.envelope(body, header), headers=kind, allow_redirects=False
            ) as answer:
                status, data = answer.status, await _limited(answer, host)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise CameraError(f"{host} can't be asked by ONVIF: {str(error) or 'no answer'}") from error
        return self._judged(status, data, host)

    def _judged(self, status: int, data: bytes, host: str) -> Element:
        if status in _REFUSED:
            raise LoginError(f"{host} refuses the user or the password")
        root = soap.read(data)
        told = soap.fault(root)
        if "NotAuthorized" in told or "FailedAuthentication" in told:
            raise LoginError(f"{host} refuses the user or the password")
        if told or status != 200:  # noqa: PLR2004 -- HTTP's OK
            raise CameraError(f"{host} refuses: {told or f'HTTP {status}'}")
        return root


async def _limited(answer: aiohttp.ClientResponse, host: str) -> bytes:
    data = bytearray()
    async for piece in answer.content.iter_any():
        data += piece
        if len(data) > _LARGEST:
            raise CameraError(f"{host} answers without end")
    return bytes(data)


async def _address(device: _Peer, profile: Profile, service: str, user: str) -> str:
    """Return the RTSP address of a profile, with the user in it as the configuration wants it."""
    answer = await device.ask(
        f'<GetStreamUri xmlns="{_MEDIA}"><StreamSetup><Stream xmlns="{_SCHEMA}">RTP-Unicast</Stream>'
        f'<Transport xmlns="{_SCHEMA}"><Protocol>RTSP</Protocol></Transport></StreamSetup>'
        f"<ProfileToken>{escape(profile.token)}</ProfileToken></GetStreamUri>"
    )
    url = soap.text(answer, "Body", "GetStreamUriResponse", "MediaUri", "Uri")
    if not (url.startswith(("rtsp://", "rtsps://")) and url.isprintable()):
        raise CameraError(f"{_host(service)} names no RTSP address for its stream")
    parts = urlsplit(at_host(url, service))
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}@{parts.netloc}")) if user else parts.geturl()


def _told(large: Profile, small: Profile | None) -> str:
    text = f"{large.width}x{large.height} {large.encoding}"
    return f"{text}, {small.width}x{small.height} for detection" if small else text


def _area(profile: Profile) -> int:
    return profile.width * profile.height


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else 0  # noqa: PLR2004 -- longer is no size of a picture


def _host(url: str) -> str:
    return urlsplit(url).hostname or url
