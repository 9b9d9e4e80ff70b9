"""Uploads to a tus server that edged did not write: the tus project's own, with a bearer token."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edged.base.clock import SystemClock
from edged.base.errors import CredentialsError, NoAnswerError, RefusedError
from edged.push.line import Credentials, Line
from edged.push.link import LinkWatch
from edged.push.probe import LinkProbe
from edged.push.settings import ProbeSettings, PushSettings, ReceiverSettings
from edged.push.targets.tus import TusTarget
from edged.push.throttle import Pacer
from edged.push.traffic import Counters
from edged.wire.receipt import Proof
from tests.proxy import Proxy
from tests.push.conftest import make_job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_SERVER = Path(__file__).parents[2] / "foreign_tus" / "server.mjs"
_TOKEN = "open sesame"
_SIZE = 3_000_001


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Where the server keeps its files."""
    path = tmp_path / "stored"
    path.mkdir()
    return path


@pytest.fixture
async def proxy(stored: Path) -> AsyncIterator[Proxy]:
    """A line to the foreign server."""
    arguments = ("node", str(_SERVER), str(stored), _TOKEN)
    server = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    port = int(await server.stdout.readline())
    try:
        async with Proxy(port) as line:
            yield line
    finally:
        server.kill()
        await server.wait()


@asynccontextmanager
async def target_at(
    port: int, *, token: str = _TOKEN, path: str = "/uploads", **changes: Any
) -> AsyncIterator[TusTarget]:
    """A target that uploads to the server at `port`."""
    clock = SystemClock()
    settings = ReceiverSettings(url=f"http://127.0.0.1:{port}{path}", **changes)
    target = TusTarget(
        settings,
        Credentials(bearer=token),
        pacer=Pacer(lambda: None),
        link=LinkWatch(ProbeSettings(), clock, metered=False),
        counters=Counters(),
        clock=clock,
    )
    try:
        yield target
    finally:
        await target.close()


async def test_a_foreign_servers_word_is_only_a_claim(proxy: Proxy, stored: Path, tmp_path: Path) -> None:
    """The file is there whole, and the receipt says no more than that the server said so."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    async with target_at(proxy.port) as target:
        receipt = await target.deliver(job.errand())
    assert receipt.proof is Proof.CLAIMED
    assert not receipt.permits_deletion
    assert (await asyncio.to_thread(_content, stored)) == job.path.read_bytes()


async def test_reading_back_proves_it(proxy: Proxy, tmp_path: Path) -> None:
    """With `readback` the copy is fetched and hashed, which is proof enough to delete."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    async with target_at(proxy.port, readback=True) as target:
        receipt = await target.deliver(job.errand())
    assert receipt.proof is Proof.READBACK
    assert receipt.permits_deletion


async def test_a_damaged_copy_is_removed_and_sent_again(proxy: Proxy, stored: Path, tmp_path: Path) -> None:
    """A copy that reads back differently is refused and removed there; the next attempt starts anew and succeeds."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    async with target_at(proxy.port, readback=False) as target:
        await target.deliver(job.errand())
    (copy,) = [path for path in stored.iterdir() if path.suffix != ".json"]
    copy.write_bytes(os.urandom(_SIZE))
    async with target_at(proxy.port, readback=True) as target:
        with pytest.raises(RefusedError, match="copy is not the file"):
            await target.deliver(job.errand())
        first = job.url
        assert (await target.deliver(job.errand())).proof is Proof.READBACK
    assert job.url != first


async def test_a_cut_upload_goes_on_where_the_server_stands(proxy: Proxy, stored: Path, tmp_path: Path) -> None:
    """After a reset the server's own offset decides; the file is whole in the end."""
    job = make_job(tmp_path, os.urandom(_SIZE))
    proxy.reset_after = 2_000_000
    async with target_at(proxy.port) as target:
        with pytest.raises(NoAnswerError):
            await target.deliver(job.errand())
        await target.deliver(job.errand())
        assert target.counters.wasted <= 2_000_000
    assert (await asyncio.to_thread(_content, stored)) == job.path.read_bytes()


async def test_a_wrong_token_asks_for_a_person(proxy: Proxy, tmp_path: Path) -> None:
    """A token that the server does not take raises CredentialsError."""
    async with target_at(proxy.port, token="wrong") as target:
        with pytest.raises(CredentialsError, match="create the upload"):
            await target.deliver(make_job(tmp_path, b"x").errand())


async def test_an_address_without_a_tus_server_is_no_answer(proxy: Proxy, tmp_path: Path) -> None:
    """A wrong path in the configuration kills no delivery."""
    async with target_at(proxy.port, path="/elsewhere") as target:
        with pytest.raises(NoAnswerError, match="answered HTTP 404"):
            await target.deliver(make_job(tmp_path, b"x").errand())


async def test_the_probe_knows_a_foreign_server(proxy: Proxy) -> None:
    """OPTIONS is answered in tus's way, so the line counts as up."""
    clock = SystemClock()
    settings = ReceiverSettings(url=f"http://127.0.0.1:{proxy.port}/uploads")
    link = LinkWatch(ProbeSettings(), clock, metered=False)
    line = Line(settings, Credentials(bearer=_TOKEN), clock=clock, link=link, traffic=Counters().line())

    async def waiting() -> bool:
        return True

    probe = LinkProbe(
        settings.url, line, link, settings=PushSettings(), waiting=waiting, work=asyncio.Event(), clock=clock
    )
    await probe.step()
    assert link.usable, link.link
    await line.close()


def _content(folder: Path) -> bytes:
    (copy,) = [path for path in folder.iterdir() if path.suffix != ".json"]
    return copy.read_bytes()
