"""Uploads by tus 1.0 to edged's receiver or any other tus server, resumed at the byte, done when there is a receipt.

"Offset equals length" is not "stored" (other servers acknowledge without syncing, and lose what was acknowledged), so
against edged's receiver done means a signed receipt; a foreign server's word is kept as `claimed`, which permits no
deletion, or its copy is fetched and hashed again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from typing import TYPE_CHECKING

from yarl import URL

from edged.base.errors import FileLostError, NoAnswerError, RefusedError, RejectedError, UploadGoneError
from edged.push.body import FileBody, OutrankedError
from edged.push.flow import Floor
from edged.push.line import Line, Request
from edged.push.link import Exchange, Outcome
from edged.push.replies import TOO_LARGE, refusal
from edged.push.targets.proof import fetch_receipt, read_back, receipt_with, unproven
from edged.push.upload import Reach, advance, resume_at, slice_length
from edged.wire import faults, tus
from edged.wire.keys import is_key
from edged.wire.manifest import to_metadata
from edged.wire.receipt import Proof

if TYPE_CHECKING:
    from pathlib import Path

    from edged.base.clock import Clock
    from edged.base.errors import DeliveryError
    from edged.push.errand import Errand
    from edged.push.line import Credentials
    from edged.push.link import LinkWatch
    from edged.push.replies import Answer
    from edged.push.settings import ReceiverSettings
    from edged.push.throttle import Pacer
    from edged.push.traffic import Counters
    from edged.wire.receipt import Receipt

_STRIKES = 3  # offsets in a row that the server takes back before the attempt ends
_CONFLICT = 409
_LONGEST_ADDRESS = 2000  # characters
_ADDRESS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")  # of a URI: RFC 3986, appendix A
_SMALLEST = 64 * 1024  # bytes in a slice below which a proxy's size limit is beyond help


class TusTarget:
    """The receiver. Connections are kept between uploads, one for each that runs at the same time."""

    def __init__(
        self,
        settings: ReceiverSettings,
        credentials: Credentials,
        *,
        pacer: Pacer,
        link: LinkWatch,
        counters: Counters,
        clock: Clock,
    ) -> None:
        self.root = URL(settings.url)
        self.settings = settings
        self.pacer = pacer
        self.counters = counters
        self.clock = clock
        self.reach = Reach()
        self._floor = Floor()
        self._credentials = credentials
        self._link = link
        self._lines: list[Line] = []
        self._free: list[Line] = []
        self._closed = False
        self._ceiling: int = settings.slice_max

    @property
    def creation(self) -> URL:
        """The address that creates uploads."""
        return self.root / "files" if self._credentials.signs else self.root

    async def deliver(self, errand: Errand) -> Receipt:
        """Upload the file and return its receipt; DeliveryError says why not."""
        if self._closed:
            raise NoAnswerError("the connections to the receiver are closed: edged is stopping")
        if self.pacer.stopped:
            raise OutrankedError("the time-table lets nothing through now")
        descriptor = await asyncio.to_thread(_open, errand.path, errand.manifest.size)
        line = self._free.pop() if self._free else self._line()
        try:
            found = await _Upload(self, line, errand, descriptor).run()
            self.reach.forget(errand.manifest.key)
        except (RejectedError, FileLostError):
            self.reach.forget(errand.manifest.key)  # it will not be resumed
            raise
        finally:
            self._free.append(line)
            os.close(descriptor)
        return found

    async def close(self) -> None:
        """Close all connections; an upload under way ends with NoAnswerError."""
        self._closed = True
        for line in self._lines:
            await line.close()

    def upload_address(self, location: str) -> URL:
        """Return an upload's address from a creation's Location, or as it was kept; ValueError if it is none.

        Of edged's receiver only the upload's id counts: behind a proxy it may not know its own name, and a request to
        an address that was spoiled on the way would go unanswered for ever.
        """
        if len(location) > _LONGEST_ADDRESS or not _ADDRESS.fullmatch(location):
            raise ValueError("it is too long, or holds what no address does")
        url = self.creation.join(URL(location, encoded=True))
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError("it is none of HTTP")
        if not self._credentials.signs:
            return url
        if not is_key(url.name):
            raise ValueError("it ends in no upload's id")
        return self.creation / url.name

    def trusts(self, url: URL) -> bool:
        """Return whether credentials may go to `url`: only where the configuration sends them."""
        return url.origin() == self.root.origin()

    def slice(self, left: int) -> int:
        """Return how many of the `left` bytes the next request carries."""
        link = self._link.link
        best = slice_length(self.settings, rtt=link.rtt, life=self._link.life(), rate=link.rate, left=left)
        return min(best, self._ceiling)

    def lower_ceiling(self, length: int) -> None:
        """Note that a proxy on the way takes no bodies of the present size; `length` is tried next."""
        self._ceiling = min(self._ceiling, length)

    def learn_rate(self, length: int, seconds: float) -> None:
        """Note how fast `length` bytes went."""
        self._link.saw(Exchange(outcome=Outcome.ANSWERED, rate=length / max(seconds, 0.001)))

    def _line(self) -> Line:
        traffic = self.counters.line()
        line = Line(
            self.settings,
            self._credentials,
            clock=self.clock,
            link=self._link,
            traffic=traffic,
            floor=self._floor,
        )
        self._lines.append(line)
        return line


class _Upload:
    """One attempt at one file over one line."""

    def __init__(self, target: TusTarget, line: Line, errand: Errand, descriptor: int) -> None:
        self._target = target
        self._line = line
        self._errand = errand
        self._manifest = errand.manifest
        self._descriptor = descriptor
        self._url = _kept(target, errand.upload_url)
        self._offset = 0
        self._receipt: Receipt | None = None

    async def run(self) -> Receipt:
        """Find out where the upload stands, send what is missing, see the proof."""
        if self._url is None or not await self._resume(self._url):
            self._url = await self._create()
        await self._send_all(self._url)
        return await (self._signed(self._url) if self._line.credentials.signs else self._foreign(self._url))

    # ------------------------------------------------------------------------------------- where it stands

    async def _resume(self, url: URL) -> bool:
        """Ask where an upload created earlier stands; False if the server has forgotten it."""
        doing = "ask where the upload stands"
        answer = await self._ask("HEAD", url, doing)
        if not answer.good:
            refused = refusal(answer, doing)
            if isinstance(refused, UploadGoneError):
                return False
            raise refused
        self._stand_at(_number(answer, tus.OFFSET))
        return True

    async def _create(self) -> URL:
        doing = "create the upload"
        headers = {tus.LENGTH: str(self._manifest.size), tus.METADATA: to_metadata(self._manifest)}
        answer = await self._ask("POST", self._target.creation, doing, headers)
        if not answer.good:
            refused = refusal(answer, doing)
            if isinstance(refused, UploadGoneError):
                raise NoAnswerError(f"{self._target.creation} takes no uploads; check the receiver's address")
            raise refused
        if "Location" not in answer.headers:
            raise RefusedError(f"can't {doing}: the receiver named no address for it")
        try:
            url = self._target.upload_address(answer.headers["Location"])
        except ValueError as error:
            raise RefusedError(f"can't {doing}: the receiver named an address for it that is none") from error
        await self._errand.created(str(url))
        # edged's receiver answers a repeated creation with the upload there is, and how much of it
        self._stand_at(_number(answer, tus.OFFSET) if tus.OFFSET in answer.headers else 0)
        return url

    def _stand_at(self, offset: int) -> None:
        self._offset = resume_at(offset, self._manifest.size)
        self._target.counters.wasted += self._target.reach.resume(self._manifest.key, self._offset)
        self._errand.progress(self._offset)

    # -------------------------------------------------------------------------------------- what is missing

    async def _send_all(self, url: URL) -> None:
        strikes, furthest = 0, self._offset
        while self._offset < self._manifest.size:
            if await self._send(url, self._target.slice(self._manifest.size - self._offset)):
                if self._offset > furthest:  # what is sent again after it was taken back is no progress
                    strikes, furthest = 0, self._offset
                continue
            strikes += 1
            if strikes >= _STRIKES:
                raise RefusedError("the receiver does not take the bytes at the offset that it names itself")
            if not await self._resume(url):
                raise UploadGoneError("the receiver has forgotten the upload while it was sent")

    async def _send(self, url: URL, length: int) -> bool:
        """Send one slice; False if the server stands elsewhere than it said."""
        pacer = self._target.pacer
        body = FileBody(
            self._descriptor,
            offset=self._offset,
            length=length,
            pacer=pacer,
            flow=self._line.flow,
            errand=self._errand,
        )
        answer = await self._patch(url, body)
        if answer.status == _CONFLICT:
            return False
        if answer.status == TOO_LARGE and length > _SMALLEST:
            self._target.lower_ceiling(length // 2)
            return True
        if not answer.good:
            raise await self._refused(answer)
        self._offset = advance(self._offset, length, _number(answer, tus.OFFSET))
        self._target.learn_rate(length, answer.seconds)
        self._errand.progress(self._offset)
        return True

    async def _patch(self, url: URL, body: FileBody | bytes) -> Answer:
        headers = {tus.OFFSET: str(self._offset), "Content-Type": tus.CONTENT_TYPE}
        before = self._line.traffic.total().once
        try:
            answer = await self._ask("PATCH", url, "send the file", headers, body)
        finally:
            if isinstance(body, FileBody):
                gone = self._line.traffic.total().once - before  # headers included: at most that little too much
                self._target.reach.sent(self._manifest.key, self._offset + min(body.given, gone))
        return answer

    async def _refused(self, answer: Answer) -> DeliveryError:
        refused = refusal(answer, "send the file")
        if faults.from_json(answer.status, answer.body).fault is not faults.CONTENT:
            return refused
        if await asyncio.to_thread(_hash, self._errand.path) != self._manifest.sha256:
            return FileLostError(f"{self._errand.path} has changed since it was recorded")
        return RefusedError(f"{refused}; the file here is sound, so it was damaged on the way")

    # ---------------------------------------------------------------------------------------------- the proof

    async def _signed(self, url: URL) -> Receipt:
        """Return edged's signed receipt: the one that came with the last bytes, else fetched."""
        found = self._receipt or await fetch_receipt(self._line, self._target.root, self._manifest)
        if found is None:
            # all bytes are there, but the receiver was stopped before it finished: an empty PATCH has it go on
            answer = await self._patch(url, b"")
            if not answer.good:
                raise await self._refused(answer)
            found = self._receipt or await fetch_receipt(self._line, self._target.root, self._manifest)
        if found is None:
            raise RefusedError("the receiver holds all bytes and gives no receipt")
        return found

    async def _foreign(self, url: URL) -> Receipt:
        """Return a receipt for a server that gives none: its claim, or what reading back proved."""
        proof = Proof.CLAIMED
        if self._target.settings.readback:
            fetch = Request(method="GET", url=url, authorise=self._target.trusts(url))
            if not await read_back(self._line, fetch, self._manifest):
                await self._ask("DELETE", url, "remove the damaged copy")
                raise RefusedError("the receiver's copy is not the file; it is sent again")
            proof = Proof.READBACK
        receiver = str(self._target.root.origin())
        return unproven(self._manifest, proof, receiver=receiver, issued=self._target.clock.wall())

    async def _ask(
        self, method: str, url: URL, doing: str, headers: dict[str, str] | None = None, body: FileBody | bytes = b""
    ) -> Answer:
        request = Request(
            method=method,
            url=url,
            headers={tus.RESUMABLE: tus.VERSION, **(headers or {})},
            body=body,
            authorise=self._target.trusts(url),
        )
        answer = await self._line.ask(request, doing=doing)
        if answer.good and self._line.credentials.signs:  # edged's receiver proves what is whole in every answer
            self._receipt = receipt_with(answer, self._manifest, self._line.credentials.key) or self._receipt
        return answer


def _kept(target: TusTarget, address: str | None) -> URL | None:
    """Return where an earlier attempt left off; None when there is no address of it, or none that can be used."""
    try:
        return target.upload_address(address) if address else None
    except ValueError:
        return None


def _open(path: Path, size: int) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FileLostError(f"{path} can't be read: {error.strerror}") from error
    found = os.fstat(descriptor).st_size
    if found != size:
        os.close(descriptor)
        raise FileLostError(f"{path} has {found} bytes instead of {size}: it was changed after it was recorded")
    return descriptor


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _number(answer: Answer, name: str) -> int:
    try:
        return tus.parse_number(answer.headers, name)
    except faults.FaultError as error:
        raise RefusedError(f"the receiver's answer makes no sense: {error}") from error
