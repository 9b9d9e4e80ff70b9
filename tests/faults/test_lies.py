"""A receiver that lies, or somebody who answers in its place: the device believes proofs, and nothing else."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edged.base.errors import DeliveryError, NoAnswerError, RefusedError
from edged.base.units import Duration
from edged.model import LinkState
from edged.receiver.app import serve
from edged.receiver.settings import ReceiverConfig
from edged.wire import receipt, signing, tus
from edged.wire.receipt import Proof, Receipt
from tests.push.conftest import known, make_bench, make_job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.push.conftest import Job
    from tests.simloop import SimClock, Simulate


BRACKETS = b'{"x":' + b"[" * 3000  # more than a reader's stack holds

GENUINE = b"Tus-Resumable: 1.0.0\r\nEdged-Receiver: 1\r\n"


class Liar:
    """A server that answers each request by `answer(head)`; one that ends in `...` is followed by bytes without end."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.port = 0
        self.asked: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head)
                answer = self.answer(head)
                writer.write(answer)
                while answer.endswith(b"..."):
                    writer.write(b"x" * 4096)
                    await writer.drain()
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the device has heard enough
        finally:
            writer.transport.abort()

    async def end(self) -> None:
        """Hang up on everybody."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def liar(answer: Callable[[bytes], bytes]) -> AsyncIterator[Liar]:
    """Run a liar while the context lasts."""
    made = Liar(answer)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.end()


def says(status: str, headers: bytes = b"", body: bytes = b"") -> bytes:
    """Return an answer that bears the receiver's marks."""
    length = b"" if body.endswith(b"...") else b"Content-Length: %d\r\n" % len(body)
    return b"HTTP/1.1 " + status.encode() + b"\r\n" + GENUINE + headers + length + b"\r\n" + body


LIES = [
    says("201 Created", b"Location: http://127.0.0.1:99999999/x\r\n"),
    says("201 Created", b"Location: //[::1\r\n"),
    says("201 Created", b"Location: javascript:alert(1)\r\n"),
    says("201 Created", b"Location: \xff\xfe\r\n"),
    says("201 Created", b"Location: /" + b"a" * 8000 + b"\r\n"),
    says("201 Created"),
    says("201 Created", b"Location: /files/x\r\nUpload-Offset: -5\r\n"),
    says("201 Created", b"Location: /files/x\r\nUpload-Offset: " + b"9" * 400 + b"\r\n"),
    says("201 Created", b"Location: /files/x\r\nUpload-Offset: 6\r\n"),
    says("201 Created", b"Location: /files/x\r\nUpload-Offset: 5\r\nEdged-Receipt: !\r\n"),
    says("201 Created", b"Location: /files/x\r\nEdged-Receipt: " + base64.b64encode(BRACKETS[:3000]) + b"\r\n"),
    says("401 No", b"Edged-Time: " + b"9" * 5000 + b"\r\n"),
    says("401 No", b"Edged-Time: " + "٣".encode() + b"\r\n"),
    says("401 No", b"Edged-Time: 999999999999\r\n"),
    says("429 No", b"Retry-After: " + b"9" * 400 + b"\r\n"),
    says("500 No", body=BRACKETS),
    says("500 No", b"Content-Type: application/json\r\n", b"..."),
    says("200 Yes", body=b"..."),
    says("302 Elsewhere", b"Location: /files\r\n"),
    b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + says("302 Elsewhere", b"Location: /files\r\n"),
    b"HTTP/1.1 201 Created\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    b"HTTP/1.1 -1 What\r\n\r\n",
    b"HTTP/1.1 99999 What\r\n\r\n",
    b"\x00" * 500,
    says("200 OK", b"Transfer-Encoding: chunked\r\n", b"fffffffffffffffffff\r\n"),
    says("200 OK", b"Content-Encoding: gzip\r\n", b"\x1f\x8b..."),
]


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
async def test_a_lying_receiver_gets_no_further(tmp_path: Path, lie: bytes) -> None:
    """Whatever it answers, the attempt ends as one that failed: the file stays, and nothing else of edged suffers."""
    job = make_job(tmp_path, b"hello")
    async with liar(lambda _: lie) as server:
        bench = make_bench(server.port, "key")
        with pytest.raises(DeliveryError):
            await bench.target.deliver(job.errand())
        await bench.target.close()
        assert len(server.asked) < 12  # no redirection is followed, no answer is believed for ever
    assert job.path.read_bytes() == b"hello"


async def test_a_portals_page_without_end_is_known_as_a_portals(tmp_path: Path) -> None:
    """It is not read to its end, and what was read is enough to know that it is not the receiver's."""
    async with liar(lambda _: b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>Log in..." + b"...") as server:
        bench = make_bench(server.port, "key")
        with pytest.raises(NoAnswerError, match="something between here and the receiver"):
            await bench.target.deliver(make_job(tmp_path, b"hello").errand())
        assert bench.link.link.state is LinkState.CAPTIVE
        await bench.target.close()


def test_an_answer_that_trickles_for_ever_is_given_up(simulate: Simulate, tmp_path: Path) -> None:
    """Each byte comes in time, but never the last: after ten times the patience for silence that was enough."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\n" + GENUINE + b"Content-Length: 60000\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(4)
        writer.close()

    async def scene(clock: SimClock) -> None:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        bench = make_bench(port, "key", clock=clock, reply_timeout=Duration(10))
        began = clock.mono()
        with pytest.raises(NoAnswerError, match="no end within 100 s"):
            await bench.target.deliver(make_job(tmp_path, b"hello").errand())
        assert 100 <= clock.mono() - began < 110
        await bench.target.close()
        await asyncio.sleep(5)  # until the server has noticed
        server.close()

    simulate(scene)


SPOILED = [
    "/files/a b",
    "/giles/abc",
    "/files/a?b#c",
    "http://elsewhere.example/files/abc",
    "/files/abc/",
    "files/../x",
]


@pytest.mark.parametrize("location", SPOILED)
async def test_an_address_spoiled_on_the_way_is_not_asked_for_ever(
    state_dir: Path, tmp_path: Path, location: str
) -> None:
    """Where no upload is, the receiver itself must be able to say so: then the upload is created anew."""
    job = make_job(tmp_path, b"hello")
    lies = [says("201 Created", b"Location: " + location.encode() + b"\r\n"), says("500 No")]
    config = ReceiverConfig(state=state_dir, public_url="http://127.0.0.1:1", listen="127.0.0.1:0")
    async with serve(config) as receiver, liar(lambda _: lies.pop(0) if len(lies) > 1 else lies[0]) as server:
        key = await known(receiver)
        bench = make_bench(server.port, key)
        with pytest.raises(DeliveryError):
            await bench.target.deliver(job.errand())
        await bench.target.close()
        bench = make_bench(receiver.port, key)
        found = await bench.target.deliver(job.errand())
        await bench.target.close()
        assert receipt.verify(found, key)


def proof_of(job: Job, key: str = "key", **changes: object) -> Receipt:
    """Return a receipt for the job's file as its receiver would sign it, with `changes` made before."""
    plain = Receipt(
        key=job.manifest.key,
        size=job.manifest.size,
        sha256=job.manifest.sha256,
        proof=Proof.SIGNED,
        issued=1.8e9,
        receiver="hq",
    )
    return receipt.sign(replace(plain, **changes), key)  # type: ignore[arg-type]


FALSE = {
    "of another key": lambda job: proof_of(job, key="another"),
    "for another file": lambda job: proof_of(job, key="key", sha256="0" * 64),
    "for another length": lambda job: proof_of(job, size=4),
    "replayed from another upload": lambda job: receipt.sign(replace(proof_of(job), key="other"), "key"),
    "altered after signing": lambda job: replace(proof_of(job), receiver="elsewhere"),
    "merely claimed": lambda job: replace(proof_of(job), proof=Proof.CLAIMED),
    "read back by somebody": lambda job: replace(proof_of(job), proof=Proof.READBACK),
}


@pytest.mark.parametrize("forge", FALSE.values(), ids=FALSE)
@pytest.mark.parametrize("fetched", [False, True], ids=["sent along", "fetched"])
async def test_a_false_receipt_proves_nothing(tmp_path: Path, forge: Callable[[Job], Receipt], fetched: bool) -> None:
    """A receipt counts only if it is signed with this device's key, and for this very file."""
    job = make_job(tmp_path, b"hello")
    forged = forge(job)

    def answer(head: bytes) -> bytes:
        if head.startswith(b"GET /receipts/"):
            return says("200 OK", body=receipt.to_json(forged))
        along = b"" if fetched else b"Edged-Receipt: " + receipt.to_header(forged).encode() + b"\r\n"
        return says("201 Created", b"Location: /files/x\r\nUpload-Offset: 5\r\n" + along)

    async with liar(answer) as server:
        bench = make_bench(server.port, "key")
        with pytest.raises(RefusedError, match="the receiver's receipt can't be used"):
            await bench.target.deliver(job.errand())
        await bench.target.close()


async def test_a_copy_without_end_is_not_the_file(tmp_path: Path) -> None:
    """Reading a foreign server's copy back ends where the file would end."""
    job = make_job(tmp_path, b"hello")

    def answer(head: bytes) -> bytes:
        if head.startswith(b"GET "):
            return says("200 OK", body=b"...")
        return says("201 Created", b"Location: /files/x\r\nUpload-Offset: 5\r\n")

    async with liar(answer) as server:
        bench = make_bench(server.port, "", readback=True)
        with pytest.raises(RefusedError, match="copy is not the file"):
            await bench.target.deliver(job.errand())
        await bench.target.close()


header = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)
answers = st.builds(
    lambda status, headers, body: says(
        status, "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1"), body
    ),
    st.sampled_from(["200 OK", "201 Created", "204 No", "301 No", "401 No", "404 No", "409 No", "413 No", "500 No"]),
    st.fixed_dictionaries(
        {},
        optional={
            "Location": header | st.just("/files/x"),
            tus.OFFSET: header | st.integers(-1, 10).map(str),
            receipt.HEADER: header | st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode()),
            signing.TIME_HEADER: header | st.integers(0, 10**13).map(str),
            "Retry-After": header | st.integers(0, 10**9).map(str),
            "Content-Type": header,
        },
    ),
    st.binary(max_size=60) | st.just(BRACKETS[:3000]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(told=[says("201 Created", b"Location: /files/x\r\n"), says("204 No", b"Upload-Offset: 5\r\n")])
@given(told=st.lists(answers, min_size=1, max_size=4))
async def test_no_answers_break_an_upload(tmp_path: Path, told: list[bytes]) -> None:
    """Whatever a server answers in turn, without the device's key it proves nothing, and the attempt just fails."""
    left = list(told)
    async with liar(lambda _: left.pop(0) if len(left) > 1 else left[0]) as server:
        bench = make_bench(server.port, "key")
        with pytest.raises(DeliveryError):
            await bench.target.deliver(make_job(tmp_path, b"hello").errand())
        await bench.target.close()
