"""Network cameras around: a question to all of them at once, and the answers of those that speak ONVIF.

Sources: WS-Discovery (April 2005), 2.4 and 4; ONVIF Core Specification 7.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from uuid import UUID

import psutil

from edged.base.errors import CameraError
from edged.capture.finding import soap
from edged.capture.finding.found import Found

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP, PORT = "239.255.255.250", 3702
_ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
_DISCOVERY = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
_NETWORK = "http://www.onvif.org/ver10/network/wsdl"
_SCOPE = "onvif://www.onvif.org/"
_WAIT = 3.0  # seconds: cameras answer within half a second (APP_MAX_DELAY), slow ones take longer
_REPEAT = 0.2  # seconds until the question is asked once more: datagrams get lost
_MOST = 256  # answers: more cameras is no network that a Pi watches


async def network_cameras(*, wait: float = _WAIT, addresses: Iterable[str] | None = None) -> list[Found]:
    """Ask in the networks of `addresses` (default: this machine's own) and return who answers in `wait` seconds."""
    answers: dict[tuple[str, bytes], None] = {}
    doors = [door for address in (own_addresses() if addresses is None else addresses) if (door := _door(address))]
    try:
        async with asyncio.timeout(wait):
            await asyncio.gather(*(_ask(door, answers) for door in doors))
    except TimeoutError:  # nobody says that it was the last one
        pass
    finally:
        for door in doors:
            door.close()
    return matches(answers)


def own_addresses() -> list[str]:
    """Return this machine's IPv4 addresses, in which networks to ask: ONVIF demands these alone."""
    running = {name for name, state in psutil.net_if_stats().items() if state.isup}
    known = psutil.net_if_addrs().items()
    return [each.address for name, all_ in known if name in running for each in all_ if each.family is socket.AF_INET]


def probe(identity: str) -> bytes:
    """Return the question: who is a network video transmitter?"""
    header = (
        f"<a:MessageID>urn:uuid:{identity}</a:MessageID>"
        '<a:To s:mustUnderstand="1">urn:schemas-xmlsoap-org:ws:2005:04:discovery</a:To>'
        f'<a:Action s:mustUnderstand="1">{_DISCOVERY}/Probe</a:Action>'
    )
    spaces = f' xmlns:a="{_ADDRESSING}" xmlns:d="{_DISCOVERY}" xmlns:n="{_NETWORK}"'
    return soap.envelope("<d:Probe><d:Types>n:NetworkVideoTransmitter</d:Types></d:Probe>", header, spaces)


def matches(answers: Iterable[tuple[str, bytes]]) -> list[Found]:
    """Return the cameras of answers (sender, datagram), each once. What can't be read is left out: strangers answer."""
    found: dict[str, Found] = {}
    for sender, data in answers:
        with suppress(CameraError):
            for match in soap.read(data).iterfind(".//{*}ProbeMatch"):
                service = _nearest(soap.text(match, "XAddrs").split(), sender)
                identity = soap.text(match, "EndpointReference", "Address") or service
                if service and identity not in found:
                    name = _named(soap.text(match, "Scopes").split()) or sender
                    found[identity] = Found(kind="network", name=name, service=service)
    return sorted(found.values(), key=lambda camera: (camera.name, camera.service))


def _nearest(services: list[str], sender: str) -> str:
    """Return the address that the answer came from, if it is among them: a camera may know more of its own."""
    usable = [each for each in services if _host(each)]
    return next((each for each in usable if _host(each) == sender), usable[0] if usable else "")


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return parts.hostname or "" if parts.scheme in {"http", "https"} else ""
    except ValueError:
        return ""


def _named(scopes: list[str]) -> str:
    """Return make and model as the scopes tell them, fit to be shown."""
    told = dict(scope.removeprefix(_SCOPE).partition("/")[::2] for scope in scopes if scope.startswith(_SCOPE))
    words = unquote(" ".join(dict.fromkeys(filter(None, (told.get("name"), told.get("hardware"))))))
    return "".join(letter for letter in words if letter.isprintable())[:60].strip()


def _door(address: str) -> socket.socket | None:
    """Open what sends into the network of `address`; None where that network takes none."""
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        door.setblocking(False)
        door.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        door.bind((address, 0))
    except OSError:
        door.close()
        return None
    return door


async def _ask(door: socket.socket, answers: dict[tuple[str, bytes], None]) -> None:
    loop = asyncio.get_running_loop()
    question = probe(str(UUID(bytes=secrets.token_bytes(16), version=4)))
    for pause in (_REPEAT, None):
        with suppress(OSError):  # no way into this network: the others may have one
            await loop.sock_sendto(door, question, (GROUP, PORT))
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await _listen(door, answers)


async def _listen(door: socket.socket, answers: dict[tuple[str, bytes], None]) -> None:
    loop = asyncio.get_running_loop()
    while len(answers) < _MOST:
        with suppress(ConnectionError):  # an earlier datagram of ours was refused
            data, (sender, *_) = await loop.sock_recvfrom(door, 65536)
            answers[sender, data] = None
