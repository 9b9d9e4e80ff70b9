"""The tus target against edged's real receiver, over a line that is spoiled in every way the proxy knows."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from edged.base.errors import CredentialsError, DeliveryError, FileLostError, NoAnswerError, RejectedError
from edged.base.units import Size
from edged.push.body import OutrankedError
from edged.receiver.app import serve
from edged.wire import receipt
from edged.wire.receipt import Proof
from tests.proxy import Proxy
from tests.push.conftest import known, make_bench, make_job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from edged.receiver.app import Serving
    from edged.receiver.settings import ReceiverConfig
    from tests.push.conftest import Bench

_SIZE = 3_000_001


async def test_a_file_arrives_and_its_receipt_is_signed(bench: Bench, key: str, tmp_path: Path) -> None:
    """A file goes up whole; the receipt proves key, size and hash, and is signed with the device's key."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    found = await bench.target.deliver(job.errand())
    assert found.proof is Proof.SIGNED
    assert receipt.verify(found, key)
    assert (found.key, found.size, found.sha256) == (job.manifest.key, _SIZE, job.manifest.sha256)
    assert job.held[0] == 0
    assert job.held[-1] == _SIZE


async def test_an_empty_file_arrives(bench: Bench, tmp_path: Path) -> None:
    """A file of no bytes has its receipt too."""
    found = await bench.target.deliver(make_job(tmp_path, b"").errand())
    assert found.size == 0


async def test_a_cut_upload_goes_on_at_the_byte(bench: Bench, proxy: Proxy, receiver: Serving, tmp_path: Path) -> None:
    """After a reset in mid-body only bytes that were lost on the line are sent again."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    proxy.reset_after = 2_000_000
    with pytest.raises(NoAnswerError, match="send the file"):
        await bench.target.deliver(job.errand())
    stands = await _arrived(receiver, 1_990_000)
    found = await bench.target.deliver(job.errand())
    assert found.proof is Proof.SIGNED
    assert stands in job.held
    assert bench.counters.wasted < 256 * 1024
    assert proxy.upstream < _SIZE + 256 * 1024


async def _arrived(receiver: Serving, least: int) -> int:
    """Wait until the receiver has taken in at least so many bytes of its only upload; return how many it has."""
    (upload,) = await receiver.world.store.uploads()
    while (length := receiver.world.vault.length(upload.id)) < least:
        await asyncio.sleep(0.01)
    return length


async def test_a_lost_answer_to_the_creation_gives_no_second_upload(
    bench: Bench, proxy: Proxy, receiver: Serving, tmp_path: Path
) -> None:
    """A creation whose answer was lost is found again by its key."""
    job = make_job(tmp_path, os.urandom(1000))
    proxy.lose_answer_at = 0
    with pytest.raises(NoAnswerError, match="create the upload"):
        await bench.target.deliver(job.errand())
    assert job.url is None
    await bench.target.deliver(job.errand())
    assert len(await receiver.world.store.uploads()) == 0


async def test_a_lost_answer_to_the_last_bytes_sends_nothing_again(bench: Bench, proxy: Proxy, tmp_path: Path) -> None:
    """When only the final answer was lost, the receipt is had by asking and no byte of the file goes twice."""
    job = make_job(tmp_path, os.urandom(100_000))
    proxy.lose_answer_at = 100_000
    with pytest.raises(NoAnswerError, match="send the file"):
        await bench.target.deliver(job.errand())
    before = proxy.upstream
    found = await bench.target.deliver(job.errand())
    assert found.proof is Proof.SIGNED
    assert proxy.upstream - before < 2000
    assert bench.counters.wasted == 0


async def test_uploads_go_on_after_a_restart_of_the_receiver(receiver_config: ReceiverConfig, tmp_path: Path) -> None:
    """A receiver that stops in mid-body and starts anew has kept what arrived; the old connection is no obstacle."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    async with AsyncExitStack() as line:
        async with serve(receiver_config) as first:
            proxy = await line.enter_async_context(Proxy(first.port))
            bench = make_bench(proxy.port, await known(first))
            line.push_async_callback(bench.target.close)
            proxy.rate = 8_000_000
            delivery = asyncio.create_task(bench.target.deliver(job.errand()))
            while proxy.upstream < 1_000_000:
                await asyncio.sleep(0)
        proxy.rate = None
        with pytest.raises(DeliveryError):
            await delivery
        async with serve(receiver_config) as second:
            proxy.target = second.port
            assert (await bench.target.deliver(job.errand())).proof is Proof.SIGNED
        assert proxy.upstream < _SIZE + 256 * 1024


async def test_a_stalled_line_is_given_up_and_reset(bench: Bench, proxy: Proxy, tmp_path: Path) -> None:
    """A line that takes no more bytes ends the attempt by our own watch, long before TCP would give up."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    proxy.rate = 8_000_000
    delivery = asyncio.create_task(bench.target.deliver(job.errand()))
    while proxy.upstream < 1_000_000:
        await asyncio.sleep(0)
    proxy.stall = True
    with pytest.raises(NoAnswerError, match="nothing moved for 2 s"):
        await delivery
    assert bench.link.track.failed == 1
    proxy.stall, proxy.rate = False, None
    assert (await bench.target.deliver(job.errand())).proof is Proof.SIGNED
    assert proxy.upstream < _SIZE + 256 * 1024


async def test_a_refused_connection_is_no_answer(bench: Bench, proxy: Proxy, tmp_path: Path) -> None:
    """Nobody listening, or a reset at once, is the line's fault and not the delivery's."""
    proxy.refuse = True
    with pytest.raises(NoAnswerError, match="can't create the upload"):
        await bench.target.deliver(make_job(tmp_path, b"x").errand())


async def test_a_forgotten_upload_is_created_anew(
    bench: Bench, receiver: Serving, proxy: Proxy, tmp_path: Path
) -> None:
    """When the receiver has thrown a partial upload away, the whole file goes up again."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    proxy.reset_after = 1_000_000
    with pytest.raises(NoAnswerError):
        await bench.target.deliver(job.errand())
    (upload,) = await receiver.world.store.uploads()
    await receiver.world.uploads.remove("shop", upload.id)
    first = job.url
    assert (await bench.target.deliver(job.errand())).proof is Proof.SIGNED
    assert job.url != first
    assert bench.counters.wasted > 900_000  # what was thrown away was paid for


async def test_a_wrong_key_asks_for_a_person(proxy: Proxy, receiver: Serving, key: str, tmp_path: Path) -> None:
    """A key that the receiver does not know raises CredentialsError, which says what to do there."""
    bench = make_bench(proxy.port, "not" + key)
    with pytest.raises(CredentialsError, match="edged receive device add"):
        await bench.target.deliver(make_job(tmp_path, b"x").errand())
    await bench.target.close()


async def test_a_device_from_1970_signs_with_the_receivers_time(proxy: Proxy, key: str, tmp_path: Path) -> None:
    """A clock that is off by decades is corrected by the refusal's Edged-Time, for this and later requests."""
    bench = make_bench(proxy.port, key, clock=_Epoch())
    assert (await bench.target.deliver(make_job(tmp_path, b"x" * 1000).errand())).proof is Proof.SIGNED
    await bench.target.close()


class _Epoch:
    """The clock of a box that has just woken without a battery."""

    def wall(self) -> float:
        """Return 17 seconds past the epoch."""
        return 17.0

    def mono(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()

    def boot(self) -> str:
        """Return a boot id."""
        return "boot"

    def synced(self) -> bool:
        """Return that the wall is not to be trusted."""
        return False


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "can't be read"),
        (lambda path: path.write_bytes(b"short"), "5 bytes instead of 3000001"),
    ],
    ids=["missing", "other size"],
)
async def test_a_lost_file_is_a_loss(bench: Bench, tmp_path: Path, spoil: Callable[[Path], object], words: str) -> None:
    """A file that is gone or has another size can't be delivered any more, and nothing of it is sent."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    spoil(job.path)
    with pytest.raises(FileLostError, match=words):
        await bench.target.deliver(job.errand())
    assert bench.counters.sent == 0


async def test_a_changed_file_is_a_loss(bench: Bench, tmp_path: Path) -> None:
    """A file whose content changed after it was hashed is refused by the receiver, checked here, and lost."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    job.path.write_bytes(os.urandom(_SIZE))
    with pytest.raises(FileLostError, match="has changed since it was recorded"):
        await bench.target.deliver(job.errand())


async def test_a_file_that_shrinks_under_way_is_a_loss(proxy: Proxy, key: str, tmp_path: Path) -> None:
    """A file cut short while its bytes are being sent ends the attempt as a loss, not as a bad line."""
    bench = make_bench(proxy.port, key)
    job = make_job(tmp_path, os.urandom(_SIZE))
    proxy.rate = 4_000_000
    delivery = asyncio.create_task(bench.target.deliver(job.errand()))
    while proxy.upstream < 10_000:
        await asyncio.sleep(0)
    os.truncate(job.path, 1_000_000)
    with pytest.raises(FileLostError, match="shorter"):
        await delivery
    await bench.target.close()


async def test_a_key_taken_by_other_content_is_final(bench: Bench, tmp_path: Path) -> None:
    """The receiver never replaces what it holds under a key; the delivery is dead."""
    job = make_job(tmp_path, b"first")
    await bench.target.deliver(job.errand())
    other = make_job(tmp_path, b"other", key=job.manifest.key)
    with pytest.raises(RejectedError, match="other content"):
        await bench.target.deliver(other.errand())


async def test_cancelling_stops_at_the_next_piece_and_leaves_a_resumable_upload(
    bench: Bench, proxy: Proxy, tmp_path: Path
) -> None:
    """A stop in mid-body ends at once; the next attempt goes on where the bytes stand."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    proxy.rate = 4_000_000
    delivery = asyncio.create_task(bench.target.deliver(job.errand()))
    while proxy.upstream < 500_000:
        await asyncio.sleep(0)
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery
    proxy.rate = None
    assert (await bench.target.deliver(job.errand())).proof is Proof.SIGNED
    assert proxy.upstream < _SIZE + 256 * 1024


async def test_closing_ends_what_is_under_way(bench: Bench, proxy: Proxy, tmp_path: Path) -> None:
    """At a stop an upload ends as unanswered, and no new one begins."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    proxy.rate = 4_000_000
    delivery = asyncio.create_task(bench.target.deliver(job.errand()))
    while proxy.upstream < 500_000:
        await asyncio.sleep(0)
    await bench.target.close()
    with pytest.raises(NoAnswerError):
        await delivery
    with pytest.raises(NoAnswerError, match="edged is stopping"):
        await bench.target.deliver(job.errand())


async def test_nothing_is_begun_while_the_time_table_says_no(proxy: Proxy, key: str, tmp_path: Path) -> None:
    """With a rate of nothing not even the upload's creation is sent."""
    bench = make_bench(proxy.port, key, rate=lambda: 0.0)
    with pytest.raises(OutrankedError, match="time-table"):
        await bench.target.deliver(make_job(tmp_path, b"x").errand())
    assert proxy.connections == 0
    await bench.target.close()


async def test_a_proxys_limit_on_bodies_is_heeded(receiver: Serving, key: str, tmp_path: Path) -> None:
    """Where a web server on the way takes bodies of 1 MB at most, slices become small enough."""
    async with _nginx(receiver.port, largest=1_000_000) as port:
        bench = make_bench(port, key, slice_min=Size(4_000_000))
        job = make_job(tmp_path, os.urandom(_SIZE))
        assert (await bench.target.deliver(job.errand())).proof is Proof.SIGNED
        assert bench.target.slice(_SIZE) <= 1_000_000
        await bench.target.close()


@asynccontextmanager
async def _nginx(target: int, *, largest: int) -> AsyncIterator[int]:
    """A reverse proxy that answers 413 to larger bodies, in its own words, and passes on all else."""

    async def serve_one(request: web.Request) -> web.Response:
        if (request.content_length or 0) > largest:
            await request.read()  # politely; others cut, which is a cut line like any other
            return web.Response(status=413, text="<h1>413 Request Entity Too Large</h1>", content_type="text/html")
        url = URL(f"http://127.0.0.1:{target}{request.raw_path}", encoded=True)
        data = await request.read()
        async with session.request(request.method, url, headers=request.headers, data=data) as answer:
            return web.Response(status=answer.status, headers=answer.headers, body=await answer.read())

    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{path:.*}", serve_one)
    runner = web.AppRunner(app, access_log=None)
    async with aiohttp.ClientSession() as session:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield int(runner.addresses[0][1])
        await runner.cleanup()
