"""The fuzzing soak's own eyes: each thing that must never happen is made to happen, and seen."""

from __future__ import annotations

import asyncio
import json
import os
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest

from scripts.soaks.fuzzing import parsers, port, requests, watch
from scripts.soaks.fuzzing.mutate import garbage, mutated
from scripts.soaks.fuzzing.warp import warp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GROUND = ["beside", "canary", "key"]


@pytest.mark.parametrize("where", GROUND)
def test_what_is_written_outside_of_the_stores_is_seen(tmp_path: Path, where: str) -> None:
    """A new file, an overwritten canary, a changed key; what the programs' own folders hold is theirs."""
    for name in ("device", "receiver"):
        (tmp_path / name).mkdir()
    (tmp_path / "key").write_text("secret")
    ground = watch.Ground(
        root=tmp_path, states=(tmp_path / "device", tmp_path / "receiver"), logs=("device.log", "receiver.log")
    )
    ground.remember()
    (tmp_path / "device" / "outbox.db").write_text("grows")
    (tmp_path / "device.log").write_text("grows")
    assert ground.trespasses() == []
    (tmp_path / where).write_text("trespass")
    (found,) = ground.trespasses()
    assert (found.kind, found.what) == ("corrupt", f"outside {tmp_path / where}")


def test_a_removed_canary_is_seen(tmp_path: Path) -> None:
    """Nothing outside may go, either."""
    ground = watch.Ground(root=tmp_path, states=(), logs=())
    ground.remember()
    (tmp_path / "canary").unlink()
    assert len(ground.trespasses()) == 1


CRASHES = [
    ({"event": "request failed", "level": "error"}, 1),
    ({"event": "task failed", "error": "ValueError: x", "at": "edged/x.py:1"}, 1),
    ({"event": "heartbeat not accepted", "error": "no answer"}, 0),
]


@pytest.mark.parametrize(("event", "count"), CRASHES)
def test_a_crash_in_the_log_is_seen(event: dict[str, str], count: int) -> None:
    """An error that names its place in the source is one that nobody expected."""
    assert len(watch.crashes("device", [event])) == count


def test_an_end_and_a_growth_are_seen() -> None:
    """A program that began again by itself, or holds too much."""
    assert watch.ended("device", 2, 2) == []
    assert watch.ended("device", 3, 2)[0].text == "the device ended by itself 1 times"
    assert watch.grown("device", watch.MEMORY) == []
    assert watch.grown("device", watch.MEMORY + 1)[0].kind == "corrupt"
    assert watch.resident(os.getpid()) > 1_000_000


async def serve(answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give everybody the same answer."""
    await reader.read(1)
    writer.write(answer)
    await writer.drain()
    writer.close()


ANSWERS = [
    (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", ["500"]),
    (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 503 Failing\r\n\r\n", ["503"]),
    (b"HTTP/1.1 507 Full\r\n\r\n", []),
    (b"HTTP/1.1 404 Not Found\r\n\r\n", []),
    (b"", []),
]


@pytest.mark.parametrize(("answer", "blamed"), ANSWERS)
async def test_a_server_that_blames_itself_is_seen(answer: bytes, blamed: list[str]) -> None:
    """Any 5xx but the full disk's, wherever in the answers it stands."""
    server = await asyncio.start_server(partial(serve, answer), "127.0.0.1", 0)
    connect = partial(asyncio.open_connection, "127.0.0.1", server.sockets[0].getsockname()[1])
    heard = await port.thrown(connect, b"GET / HTTP/1.1\r\n\r\n")
    server.close()
    assert port.failures(heard) == blamed
    assert len(watch.blamed("receiver", b"GET /", port.failures(heard))) == len(blamed)


def test_a_reader_that_fails_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its input is kept and told, and a process that fell before its end is told as that."""

    def readers(bench: parsers.Bench) -> list[Callable[[], None]]:
        def brittle() -> None:
            bench.last = b"\xff\xfe"
            bench.last.decode()

        return [brittle]

    parsers.main(1, 2, tmp_path, readers)
    lines = capsys.readouterr().out.splitlines()
    found = watch.misread("1", lines)
    assert found[0].what.startswith("brittle: UnicodeDecodeError")
    assert (tmp_path / "input-0").read_bytes() == b"\xff\xfe"
    assert [finding.what for finding in watch.misread("1", lines[:-1])][-1] == "the readers ended"
    grown = json.dumps({"done": 2, "memory": watch.MEMORY + 1})
    assert [finding.what for finding in watch.misread("1", [grown])] == ["memory of the reading process"]


def test_the_same_seed_spoils_alike() -> None:
    """A run can be repeated by its seed; what it makes differs from seed to seed, and is not all refused."""
    made = [
        [mutated(rng, b"GET / HTTP/1.1\r\n\r\n"), garbage(rng), requests.made_up(rng, of_device=True)]
        for rng in (Random(1), Random(1), Random(2))
    ]
    assert made[0] == made[1] != made[2]


async def test_a_lying_line_leaves_the_verdict_and_spoils_the_rest() -> None:
    """What a peer says of yes or no comes through as it was."""
    answer = b"HTTP/1.1 201 Created\r\nLocation: /files/x\r\n\r\n"
    server = await asyncio.start_server(partial(serve, answer), "127.0.0.1", 0)
    heard = set()
    async with warp(server.sockets[0].getsockname()[1], Random(3)) as line:
        for _ in range(12):
            reader, writer = await asyncio.open_connection("127.0.0.1", line.port)
            writer.write(b"POST")
            heard.add(await reader.read())
            writer.close()
    server.close()
    assert {data[:13] for data in heard} == {b"HTTP/1.1 201 "}
    assert len(heard) > 2
