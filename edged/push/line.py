"""One line to the receiver: signed requests over one connection at a time, counted, watched and cut when dead.

aiohttp's own time limits don't see a body that is stuck, and TCP by itself takes many minutes to give a peer up. So
three things end a dead exchange: TCP_USER_TIMEOUT and keep-alive in the kernel, and here a watch on the bytes that the
peer's kernel acknowledges. What is cut is reset, not drained: it would be paid for and arrive too late.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from edged.base.errors import NoAnswerError
from edged.base.secret import reveal
from edged.push.flow import Floor, Flow
from edged.push.knock import Knocker
from edged.push.link import Exchange, Outcome
from edged.push.replies import TOO_LARGE, Answer, refusal
from edged.push.trust import Trust
from edged.wire.signing import TIME_HEADER, WINDOW, sign_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp.client_middlewares import ClientHandlerType
    from yarl import URL

    from edged.base.clock import Clock
    from edged.push.body import FileBody
    from edged.push.link import LinkWatch
    from edged.push.settings import ReceiverSettings
    from edged.push.traffic import Traffic

_CONGESTION = b"bbr"  # others take each segment that a radio link loses for a queue, and crawl
_NOTSENT_LOWAT = 25  # TCP_NOTSENT_LOWAT, tcp(7)
_UNSENT = 128 * 1024  # bytes that may wait in the kernel: what an alert would have to wait behind
_PROBES = 3  # unanswered keep-alive probes until the peer counts as gone
_BODY_LIMIT = 64 * 1024  # bytes kept of an answer's body
_UNAUTHORISED = 401
_SECONDS = re.compile(r"[0-9]{1,12}")  # Unix time, as far as a signature can carry it
_ANSWERS = 10  # times the patience for silence in which a whole answer must be there
_HANGS = 5.0  # seconds without a move, after which the line itself is looked at
_LISTEN = 5.0  # seconds of knocking at a time
_TICK = 1.0  # seconds between looks at a request under way


class Credentials:
    """How requests are authorised: signed with the device's key, with a bearer token, or not at all."""

    def __init__(self, *, device: str = "", key: str = "", bearer: str = "") -> None:
        self.device = device
        self.key = key
        self._bearer = bearer
        self._ahead = 0.0  # the receiver's clock minus ours, in seconds, once it refused ours

    def adopt(self, other: Credentials) -> None:
        """Sign with another one's key, or show its token, from the next request on."""
        self.key, self._bearer = other.key, other._bearer

    @property
    def signs(self) -> bool:
        """Whether the peer is edged's own receiver."""
        return bool(self.key)

    @property
    def ahead(self) -> float:
        """The receiver's clock minus ours in seconds, as far as a refusal told; else 0.0."""
        return self._ahead

    def learn(self, server_time: str, wall: float) -> bool:
        """Take the receiver's time from a refusal; False if ours (`wall`) was not the reason."""
        if not _SECONDS.fullmatch(server_time) or abs(int(server_time) - wall - self._ahead) < WINDOW / 2:
            return False
        self._ahead = int(server_time) - wall
        return True

    def header(self, request: Request, wall: float) -> dict[str, str]:
        """Return the header that authorises `request` at our wall time."""
        if self._bearer:
            return {"Authorization": f"Bearer {self._bearer}"}
        if not self.key:
            return {}
        value = sign_request(
            key=self.key,
            device=self.device,
            method=request.method,
            target=request.url.raw_path_qs,
            time=wall + self._ahead,
            headers=request.headers,
            body=request.body if isinstance(request.body, bytes) else None,
        )
        return {"Authorization": value}


def credentials_of(receiver: ReceiverSettings) -> Credentials:
    """Return how requests to the receiver are authorised; ConfigError names the key of a secret that can't be had."""
    return Credentials(
        device=receiver.device,
        key=reveal(receiver.key, "receiver.key"),
        bearer=reveal(receiver.bearer, "receiver.bearer"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request. `sink`, where given, takes the answer's body piece by piece instead of its being kept."""

    method: str
    url: URL
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileBody = b""
    sink: Callable[[bytes], object] | None = None
    authorise: bool = True


class RevivedError(NoAnswerError):
    """A connection was given up for a new one over a line that has come back: to be tried again at once."""


class Line:
    """A connection to the receiver, opened when needed and kept while it is used. Not for two requests at once."""

    def __init__(
        self,
        settings: ReceiverSettings,
        credentials: Credentials,
        *,
        clock: Clock,
        link: LinkWatch | None,
        traffic: Traffic,
        floor: Floor | None = None,
    ) -> None:
        self.credentials = credentials
        self.traffic = traffic
        self._settings = settings
        self._clock = clock
        self._link = link
        self.knocker = Knocker()
        self.flow = Flow(traffic, floor or Floor())
        self._trust = Trust(settings.ca, clock, patient=credentials.signs)
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, request: Request, *, doing: str) -> Answer:
        """Send one request and return the receiver's answer, whatever its status.

        A request refused for its time is signed once more with the receiver's. Raises NoAnswerError ("can't `doing`:
        why") if nothing came back, or not from the receiver itself.
        """
        answer = await self._ask(request, doing)
        told = answer.headers.get(TIME_HEADER, "") if answer.status == _UNAUTHORISED else ""
        if request.authorise and self.credentials.signs and self.credentials.learn(told, self._clock.wall()):
            if not isinstance(request.body, bytes):
                raise NoAnswerError(
                    f"can't {doing}: this device's clock is off; the receiver's time is used from now on"
                )
            answer = await self._ask(request, doing)
        return answer

    async def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, request: Request, doing: str) -> Answer:
        try:
            answer = await self._watched(request)
        except RevivedError:
            raise
        except (aiohttp.ClientError, OSError, NoAnswerError) as error:  # a TimeoutError is an OSError
            reason = self._reason(error.__cause__ if isinstance(error, _LostError) else error)
            self._saw(Exchange(outcome=Outcome.SILENT, reason=reason))
            raise NoAnswerError(f"can't {doing}: {reason}") from error
        if not answer.genuine and request.sink is None and answer.status != TOO_LARGE:
            refused = (
                refusal(answer, doing)
                if not answer.good
                else NoAnswerError(f"can't {doing}: something between here and the receiver answered in its place")
            )
            down = answer.status >= 500  # noqa: PLR2004 -- a proxy before a receiver that is away
            self._saw(Exchange(outcome=Outcome.SILENT if down else Outcome.CAPTIVE, reason=str(refused)))
            raise refused
        bare = isinstance(request.body, bytes) and request.sink is None
        self._saw(Exchange(outcome=Outcome.ANSWERED, rtt=answer.seconds if bare else 0.0))
        return answer

    def _reason(self, error: BaseException | None) -> str:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return self._trust.words(error.certificate_error)
        if isinstance(error, TimeoutError):
            return "no connection in time"
        if isinstance(error, aiohttp.ClientConnectorError):
            return f"{error.host}:{error.port}: {_unconnected(error)}"
        return str(error) or type(error).__name__

    def _saw(self, seen: Exchange) -> None:
        if self._link is not None:
            self._link.saw(seen)

    async def _watched(self, request: Request) -> Answer:
        exchange = asyncio.ensure_future(self._exchange(request))
        try:
            await self._watch(exchange, request)
        except BaseException:
            self.traffic.abort()
            exchange.cancel()
            await asyncio.wait({exchange})
            raise
        if exchange.cancelled() or exchange.exception() is not None or _unfinished(request.body):
            self.traffic.abort()
        if not isinstance(request.body, bytes) and request.body.error is not None:
            raise request.body.error
        return exchange.result()

    async def _watch(self, exchange: asyncio.Future[Answer], request: Request) -> None:
        """Return when `exchange` is over; NoAnswerError when nothing has moved for too long, or too little."""
        loop, body = asyncio.get_running_loop(), request.body
        last, since = (-1, -1), loop.time()
        sent, pause = since, _TICK
        while not (await asyncio.wait({exchange}, timeout=pause))[0]:
            account = self.traffic.total()
            moved = (account.acked, account.received)
            if moved != last or (not isinstance(body, bytes) and body.waiting):
                last, since = moved, loop.time()
            hangs = loop.time() - since > _HANGS
            pause = 0.0 if hangs and await self._knock(exchange) else _TICK
            limit = self._settings.progress_timeout if _unfinished(body) else self._settings.reply_timeout
            if loop.time() - since > limit:
                raise NoAnswerError(f"nothing moved for {limit:.0f} s")
            if _unfinished(body):
                sent = loop.time()
            elif request.sink is None and loop.time() - sent > _ANSWERS * limit:
                raise NoAnswerError(f"the answer had no end within {_ANSWERS * limit:.0f} s")

    async def _knock(self, exchange: asyncio.Future[Answer]) -> bool:
        """Look for a while whether another connection gets through where this one hangs; RevivedError if so.

        False, at once, when everything was acknowledged: then it is the peer that takes its time.
        """
        if not self.traffic.repeating():
            return False
        acked = self.traffic.total().acked
        heard = asyncio.create_task(self.knocker.answered(_LISTEN))
        both: set[asyncio.Future[Any]] = {exchange, heard}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if exchange.done():
            heard.cancel()
            await asyncio.wait({heard})
        elif heard.result() and self.traffic.total().acked == acked:
            raise RevivedError("the line is back, and this connection still sleeps: it goes on over a new one")
        return True

    async def _exchange(self, request: Request) -> Answer:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        headers = dict(request.headers)
        if request.authorise:
            headers |= self.credentials.header(request, self._clock.wall())
        if not isinstance(request.body, bytes):
            headers["Content-Length"] = str(request.body.length)
        trusted = await asyncio.to_thread(self._trust.context) if request.url.scheme == "https" else True
        async with self._open().request(
            request.method, request.url, headers=headers, data=request.body or None, allow_redirects=False, ssl=trusted
        ) as response:
            kept = bytearray()
            async for piece in response.content.iter_any():
                if request.sink is not None and response.ok:
                    request.sink(piece)
                elif len(kept) < _BODY_LIMIT:
                    kept += piece
                else:
                    response.close()  # no receiver says so much; what was kept shows who it is
                    break
            return Answer(
                status=response.status, headers=response.headers, body=bytes(kept), seconds=loop.time() - begun
            )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=1,
                keepalive_timeout=self._settings.idle_timeout,
                socket_factory=self._socket,
            )
            timeout = aiohttp.ClientTimeout(
                total=None, connect=self._settings.connect_timeout, sock_connect=self._settings.sock_connect_timeout
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                middlewares=(_once,),
            )
        return self._session

    def _socket(self, address: tuple[object, ...]) -> socket.socket:
        family, kind, protocol = int(str(address[0])), int(str(address[1])), int(str(address[2]))
        sock = self.traffic.socket(family, kind, protocol)
        match address[4]:
            case (str(host), int(port), *_):
                self.knocker.door = host, port
        options = {
            socket.TCP_USER_TIMEOUT: int(self._settings.user_timeout * 1000),
            socket.TCP_KEEPIDLE: max(1, int(self._settings.keepalive)),
            socket.TCP_KEEPINTVL: max(1, int(self._settings.keepalive / _PROBES)),
            socket.TCP_KEEPCNT: _PROBES,
            _NOTSENT_LOWAT: _UNSENT,
        }
        with contextlib.suppress(OSError):  # not every kernel has it, or lets everybody have it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _CONGESTION)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in options.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        return sock


def _unfinished(body: bytes | FileBody) -> bool:
    return not isinstance(body, bytes) and body.given < body.length


class _LostError(NoAnswerError):
    """The connection broke before an answer; the cause says how."""


async def _once(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    # aiohttp silently repeats idempotent requests after these two errors; the line's owner decides that
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _LostError("the connection broke") from error


def _unconnected(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "no TLS could be agreed on; does the address begin with the right one of http and https?"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name can't be looked up ({error.strerror})"
    code = error.os_error.errno
    return os.strerror(code).lower() if code and code > 0 else str(error.os_error)  # below 0: of the name look-up
