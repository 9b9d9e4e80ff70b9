"""A network camera that speaks ONVIF, for tests: found by WS-Discovery, its streams told after a login.

Written from the specifications (WS-Discovery of April 2005, ONVIF Core, Device Management and Media), and strict where
cameras are: a digest must be of its own time, and no nonce counts twice.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree as ET

from aiohttp import web

from edged.base.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_FRESH = 5.0  # seconds that a digest may be old: few cameras take much more
_SPACES = (
    'xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:tds="http://www.onvif.org/ver10/device/wsdl" '
    'xmlns:trt="http://www.onvif.org/ver10/media/wsdl" xmlns:tt="http://www.onvif.org/ver10/schema" '
    'xmlns:ter="http://www.onvif.org/ver10/error" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:wsdd="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
    'xmlns:dn="http://www.onvif.org/ver10/network/wsdl"'
)
_PROBE = "http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe"
_REFUSED = (
    "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:NotAuthorized</s:Value></s:Subcode></s:Code>"
    '<s:Reason><s:Text xml:lang="en">Sender not authorized</s:Text></s:Reason></s:Fault>'
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """A profile of the camera: where its stream is, and what it is."""

    token: str
    url: str
    width: int = 1920
    height: int = 1080
    encoding: str = "H264"
    source: str = "lens"


@dataclass(kw_only=True)
class OnvifCamera:
    """What the camera is; may be changed at any time."""

    login: tuple[str, str]
    channels: tuple[Channel, ...]
    name: str = "Acme%20Eye"
    ahead: float = 0.0  # seconds that its clock is wrong
    by_http: bool = False  # it takes the login by HTTP alone, as newer ones do
    port: int = 0
    asked: list[str] = field(default_factory=list)
    nonces: set[bytes] = field(default_factory=set)

    @property
    def service(self) -> str:
        """The address of its device service."""
        return f"http://127.0.0.1:{self.port}/onvif/device_service"

    def now(self) -> datetime:
        """Return its time."""
        return datetime.fromtimestamp(SystemClock().wall(), UTC) + timedelta(seconds=self.ahead)

    def may(self, root: ET.Element) -> bool:
        """Return whether the message's login is right, of now and new (UsernameToken Profile 1.0, 3.1)."""
        told = {name: root.findtext(f".//{{*}}{name}") or "" for name in ("Username", "Password", "Nonce", "Created")}
        if not all(told.values()):
            return False
        nonce = base64.b64decode(told["Nonce"])
        age = abs((self.now() - datetime.fromisoformat(told["Created"])).total_seconds())
        wanted = hashlib.sha1(nonce + told["Created"].encode() + self.login[1].encode()).digest()
        right = (told["Username"], told["Password"]) == (self.login[0], base64.b64encode(wanted).decode())
        if not right or age > _FRESH or nonce in self.nonces:
            return False
        self.nonces.add(nonce)
        return True

    def may_by_http(self, request: web.Request) -> bool:
        """Return whether the request's digest is right (RFC 7616, 3.4.1)."""
        told = dict(re.findall(r'(\w+)="?([^",]+)"?', request.headers.get("Authorization", "")))
        if not told or told.get("nonce") != "n0nce":
            return False
        inner = _md5(f"{self.login[0]}:eye:{self.login[1]}")
        whole = _md5(f"{request.method}:{request.path}")
        wanted = _md5(f"{inner}:n0nce:{told['nc']}:{told['cnonce']}:{told['qop']}:{whole}")
        return (told["username"], told["response"]) == (self.login[0], wanted)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a SOAP request."""
        root = ET.fromstring(await request.read())
        body = root.find("{http://www.w3.org/2003/05/soap-envelope}Body")
        assert body is not None
        asked = body[0].tag.rpartition("}")[2]
        self.asked.append(asked)
        open_to_all = asked in {"GetSystemDateAndTime", "GetCapabilities"}
        if not open_to_all and self.by_http and not self.may_by_http(request):
            challenge = 'Digest realm="eye", qop="auth", nonce="n0nce", algorithm=MD5'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        if not open_to_all and not self.by_http and not self.may(root):
            return _reply(_REFUSED, status=400)
        work = getattr(self, f"_{asked}")
        return _reply(work(body[0]))

    def _GetSystemDateAndTime(self, _asked: ET.Element) -> str:  # noqa: N802 -- ONVIF's names
        now = self.now()
        return (
            "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>"
            "<tt:DaylightSavings>false</tt:DaylightSavings><tt:UTCDateTime>"
            f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute>"
            f"<tt:Second>{now.second}</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year>"
            f"<tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date></tt:UTCDateTime>"
            "</tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
        )

    def _GetCapabilities(self, _asked: ET.Element) -> str:  # noqa: N802
        # as behind a router: the address is right where the camera is, not where the asker is
        return (
            "<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Media>"
            f"<tt:XAddr>http://10.255.255.1:{self.port}/onvif/media_service</tt:XAddr><tt:StreamingCapabilities/>"
            "</tt:Media></tds:Capabilities></tds:GetCapabilitiesResponse>"
        )

    def _GetProfiles(self, _asked: ET.Element) -> str:  # noqa: N802
        return f"<trt:GetProfilesResponse>{''.join(map(_profile, self.channels))}</trt:GetProfilesResponse>"

    def _GetStreamUri(self, asked: ET.Element) -> str:  # noqa: N802
        token = asked.findtext("{http://www.onvif.org/ver10/media/wsdl}ProfileToken")
        assert asked.findtext(".//{http://www.onvif.org/ver10/schema}Stream") == "RTP-Unicast"
        assert asked.findtext(".//{http://www.onvif.org/ver10/schema}Protocol") == "RTSP"
        (channel,) = (channel for channel in self.channels if channel.token == token)
        return (
            f"<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>{channel.url}</tt:Uri>"
            "<tt:InvalidAfterConnect>false</tt:InvalidAfterConnect><tt:InvalidAfterReboot>false</tt:InvalidAfterReboot>"
            "<tt:Timeout>PT0S</tt:Timeout></trt:MediaUri></trt:GetStreamUriResponse>"
        )

    def match(self, datagram: bytes) -> bytes:
        """Return the answer to a datagram, b"" where it asks for others (WS-Discovery 5.2)."""
        root = ET.fromstring(datagram)
        action = root.findtext(".//{http://schemas.xmlsoap.org/ws/2004/08/addressing}Action")
        message = root.findtext(".//{http://schemas.xmlsoap.org/ws/2004/08/addressing}MessageID")
        types = root.findtext(".//{http://schemas.xmlsoap.org/ws/2005/04/discovery}Types") or ""
        # a prefix in text is resolved by the declarations in scope (XML Schema, QName)
        prefix, _, kind = types.rpartition(":")
        declared = f'xmlns:{prefix}="http://www.onvif.org/ver10/network/wsdl"' in datagram.decode()
        if action != _PROBE or not message or (types and not (kind == "NetworkVideoTransmitter" and declared)):
            return b""
        return _envelope(
            "<wsdd:ProbeMatches><wsdd:ProbeMatch><wsa:EndpointReference><wsa:Address>"
            f"urn:uuid:4d454930-0000-1000-8000-{self.port:012d}</wsa:Address></wsa:EndpointReference>"
            "<wsdd:Types>dn:NetworkVideoTransmitter</wsdd:Types><wsdd:Scopes>onvif://www.onvif.org/Profile/Streaming "
            f"onvif://www.onvif.org/name/{self.name} onvif://www.onvif.org/hardware/E-1</wsdd:Scopes>"
            f"<wsdd:XAddrs>http://10.255.255.1/onvif/device_service {self.service}</wsdd:XAddrs>"
            "<wsdd:MetadataVersion>1</wsdd:MetadataVersion></wsdd:ProbeMatch></wsdd:ProbeMatches>",
            f"<wsa:RelatesTo>{message}</wsa:RelatesTo><wsa:Action>{_PROBE}Matches</wsa:Action>",
        )


class _Responder(asyncio.DatagramProtocol):
    def __init__(self, camera: OnvifCamera) -> None:
        self._camera = camera
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        answer = self._camera.match(data)
        if answer and self._transport is not None:
            self._transport.sendto(answer, address)


@asynccontextmanager
async def serve_camera(camera: OnvifCamera, *, discoverable: bool = False) -> AsyncGenerator[OnvifCamera]:
    """Serve on loopback at a free port, and if `discoverable` answer whoever asks around there."""
    app = web.Application()
    app.router.add_post("/onvif/{service}", camera.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    camera.port = runner.addresses[0][1]
    transport = await _listen(camera) if discoverable else None
    try:
        yield camera
    finally:
        if transport is not None:
            transport.close()
        await runner.cleanup()


async def _listen(camera: OnvifCamera) -> asyncio.BaseTransport:
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    door.bind(("239.255.255.250", 3702))
    membership = struct.pack("4s4s", socket.inet_aton("239.255.255.250"), socket.inet_aton("127.0.0.1"))
    door.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Responder(camera), sock=door)
    return transport


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _profile(channel: Channel) -> str:
    return (
        f'<trt:Profiles token="{channel.token}" fixed="true"><tt:Name>{channel.token}</tt:Name>'
        f'<tt:VideoSourceConfiguration token="vsc"><tt:SourceToken>{channel.source}</tt:SourceToken>'
        "</tt:VideoSourceConfiguration>"
        f'<tt:VideoEncoderConfiguration token="vec"><tt:Encoding>{channel.encoding}</tt:Encoding><tt:Resolution>'
        f"<tt:Width>{channel.width}</tt:Width><tt:Height>{channel.height}</tt:Height></tt:Resolution>"
        "</tt:VideoEncoderConfiguration></trt:Profiles>"
    )


def _envelope(body: str, header: str = "") -> bytes:
    start = f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope {_SPACES}>'
    return f"{start}<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>".encode()


def _reply(body: str, status: int = 200) -> web.Response:
    return web.Response(body=_envelope(body), status=status, content_type="application/soap+xml", charset="utf-8")
