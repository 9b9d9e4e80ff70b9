"""The line to the receiver broken at every kind of byte, by both ends' own programs, in virtual time."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from edged.base.errors import NoAnswerError, RefusedError
from edged.base.units import Size
from edged.wire import receipt
from edged.wire.receipt import Proof
from tests.faults.network import open_field
from tests.middle import At, How, Spoil
from tests.proxy import Proxy
from tests.push.conftest import make_job

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simloop import SimClock, Simulate

_SIZE = 700_000
_SMALL = 256 * 1024  # bytes that one cut may cost


def _cuts(how: How, *, foreign: bool) -> list[tuple[str, dict[str, list[Spoil]]]]:
    """Return every place at which a line can end, in words, with what has to happen to reach it."""
    found = []
    for method in ("POST", "PATCH", "HEAD") if foreign else ("POST", "PATCH", "HEAD", "GET"):
        for at in At:
            if at is At.BODY and method != "PATCH":
                continue
            spoils = {method: [Spoil(at=at, how=how)]}
            if method == "HEAD":  # which is only asked after an earlier attempt
                spoils["PATCH"] = [Spoil(at=At.BODY)]
            if method == "GET":  # of the receipt, which otherwise comes with the last bytes
                spoils["PATCH"] = [Spoil(at=None, without=receipt.HEADER)]
            found.append((f"{method} {how} {at}", spoils))
    return found


@pytest.mark.parametrize("foreign", [False, True], ids=["edged's own", "plain tus"])
@pytest.mark.parametrize("how", How)
def test_a_cut_at_any_kind_of_byte_loses_and_doubles_nothing(
    simulate: Simulate, tmp_path: Path, how: How, *, foreign: bool
) -> None:
    """Wherever the line ends, the attempt counts as unanswered, and the next goes on: the file is there once, whole."""

    async def scene(clock: SimClock) -> None:
        async with open_field(tmp_path, clock, foreign=foreign, slice_min=Size(_SIZE)) as place:
            sent = []
            for words, spoils in _cuts(how, foreign=foreign):
                place.spoils = spoils
                sent.append(os.urandom(_SIZE))
                before, wasted = place.middle.upstream, place.counters.wasted
                proven, errors = await place.insist(make_job(tmp_path, sent[-1]))
                assert not any(spoils.values()), words
                assert {type(error) for error in errors} == {NoAnswerError}, words
                assert proven.proof is (Proof.CLAIMED if foreign else Proof.SIGNED), words
                assert place.counters.wasted - wasted < _SMALL, words
                assert place.middle.upstream - before < _SIZE + _SMALL * len(errors), words
            assert sorted(await place.held("tusker" if foreign else "shop")) == sorted(sent)

    simulate(scene)


@pytest.mark.parametrize(
    "offset", [0, 400_000, _SIZE, 10 * _SIZE], ids=["too low", "too high", "all", "beyond the end"]
)
def test_a_server_that_lies_about_the_offset(simulate: Simulate, tmp_path: Path, offset: int) -> None:
    """Whatever a HEAD claims once, the file that the receipt proves is the file: no byte is left out or doubled."""

    async def scene(clock: SimClock) -> None:
        async with open_field(tmp_path, clock) as place:
            lie = f"HTTP/1.1 200 OK\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n\r\n".encode()
            place.spoils = {"PATCH": [Spoil(at=At.BODY, depth=0.3)], "HEAD": [Spoil(answer=lie)]}
            job = make_job(tmp_path, os.urandom(_SIZE))
            proven, _ = await place.insist(job)
            assert proven.proof is Proof.SIGNED
            assert await place.held("shop") == [job.path.read_bytes()]
            assert place.middle.upstream < 2 * _SIZE

    simulate(scene)


def test_a_server_that_takes_bytes_back_is_refused(simulate: Simulate, tmp_path: Path) -> None:
    """Who takes a slice and then stands before it again, and again, gets no more: it counts as the peer's refusal."""
    taken = [0]

    async def serve(request: web.Request) -> web.Response:
        headers = {"Tus-Resumable": "1.0.0", "Location": "/files/1", "Upload-Offset": "0"}
        if request.method == "PATCH":
            offset, body = int(request.headers["Upload-Offset"]), await request.read()
            if offset:
                return web.Response(status=409, headers=headers)
            taken[0] += len(body)
            headers["Upload-Offset"] = str(len(body))
        return web.Response(status=201 if request.method == "POST" else 204, headers=headers)

    async def scene(clock: SimClock) -> None:
        app = web.Application(client_max_size=10 * _SIZE)
        app.router.add_route("*", "/files{tail:.*}", serve)
        async with open_field(tmp_path, clock, slice_max=Size(_SMALL)) as place:
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            place.middle.target = int(runner.addresses[0][1])
            with pytest.raises(RefusedError, match="at the offset that it names itself"):
                await place.target.deliver(make_job(tmp_path, os.urandom(_SIZE)).errand())
            await runner.cleanup()
        assert taken[0] <= 3 * _SMALL

    simulate(scene)


def test_a_receiver_that_loses_its_disk(simulate: Simulate, tmp_path: Path) -> None:
    """What was proven stays proven, what was under way goes up once more from its first byte."""

    async def scene(clock: SimClock) -> None:
        async with open_field(tmp_path, clock) as place:
            first, _ = await place.insist(make_job(tmp_path, b"first" * 1000))
            job = make_job(tmp_path, os.urandom(_SIZE))
            place.spoils = {"PATCH": [Spoil(at=At.BODY, depth=0.9)]}
            with pytest.raises(NoAnswerError):
                await place.target.deliver(job.errand())
            (tmp_path / "new").mkdir()
            async with open_field(tmp_path / "new", clock) as other:
                # another disk, the same address; its keeper gave the device the key that it has
                await other.receiver.world.registry.add_device(
                    "shop", place.credentials.key, clock.wall(), replace=True
                )
                place.middle.target, before = other.receiver.port, place.middle.upstream
                proven, errors = await place.insist(job)
                assert (proven.proof, errors) == (Proof.SIGNED, [])
                assert place.middle.upstream - before > _SIZE
                assert await other.held("shop") == [job.path.read_bytes()]
            assert first.proof is Proof.SIGNED

    simulate(scene)


def test_a_slow_line_is_no_dead_line(simulate: Simulate, tmp_path: Path) -> None:
    """At 64 kbit/s, as long as bytes go the attempt lasts; nothing is sent twice."""
    rate = 8000.0

    async def scene(clock: SimClock) -> None:
        async with open_field(tmp_path, clock) as place, Proxy(place.receiver.port) as line:
            place.middle.target, line.rate = line.port, rate
            began = clock.mono()
            _, errors = await place.insist(make_job(tmp_path, os.urandom(_SIZE)))
            assert errors == []
            assert clock.mono() - began >= 0.9 * _SIZE / rate
            assert place.middle.upstream < 1.01 * _SIZE

    simulate(scene)


def test_a_line_that_lives_a_minute_at_a_time_wastes_little(simulate: Simulate, tmp_path: Path) -> None:
    """Cut every minute, 8 MB at 512 kbit/s go up with less than a tenth of them sent twice."""

    async def scene(clock: SimClock) -> None:
        async with open_field(tmp_path, clock) as place, Proxy(place.receiver.port) as line:
            place.middle.target, line.rate = line.port, 64_000.0
            cutting = asyncio.create_task(cut_every_minute(line))
            job = make_job(tmp_path, os.urandom(8_000_000))
            _, errors = await place.insist(job)
            cutting.cancel()
            assert len(errors) >= 2
            assert place.middle.upstream < 1.1 * 8_000_000
            assert await place.held("shop") == [job.path.read_bytes()]

    async def cut_every_minute(line: Proxy) -> None:
        while True:
            await asyncio.sleep(60)
            line.cut()

    simulate(scene)


def test_a_server_that_reads_nothing_is_left_in_time(simulate: Simulate, tmp_path: Path) -> None:
    """A peer whose kernel takes no more bytes is given up after 45 s, not knocked at, and gone on with later."""

    async def scene(clock: SimClock) -> None:
        async with open_field(tmp_path, clock) as place, Proxy(place.receiver.port) as line:
            place.middle.target, line.stall = line.port, True
            began, job = clock.mono(), make_job(tmp_path, os.urandom(_SIZE))
            with pytest.raises(NoAnswerError, match="nothing moved for"):
                await place.target.deliver(job.errand())
            assert 45.0 <= clock.mono() - began <= 62.0
            line.stall = False
            _, errors = await place.insist(job)
            assert errors == []

    simulate(scene)


def test_a_name_that_can_not_be_looked_up_is_told(simulate: Simulate, tmp_path: Path) -> None:
    """Without a name server nothing is sent, nothing is spent, and the reason names the name."""

    async def scene(clock: SimClock) -> None:
        async with open_field(tmp_path, clock, host="receiver.invalid") as place:
            with pytest.raises(NoAnswerError, match=r"receiver\.invalid:[0-9]+: the name can't be looked up"):
                await place.target.deliver(make_job(tmp_path, b"x").errand())
            assert "can't be looked up" in place.link.link.reason

    simulate(scene)
