"""The commands against a device that lives: each through the socket, as a person's shell sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edged.app.client import ask
from edged.base.errors import EdgedError
from edged.model import IncidentKind
from tests.app.home import config, living, until, watching

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edged.app.world import World


@pytest.fixture
async def world(state_dir: Path, tmp_path: Path) -> AsyncIterator[World]:
    """A device with a drawn camera and a folder for copies, delivering pictures."""
    (tmp_path / "usb").mkdir()
    folders = {"usb": {"path": str(tmp_path / "usb"), "require_mount": False}}
    async with living(config(state_dir, folders=folders)) as made:
        await watching(made)
        yield made


async def tell(world: World, command: str, timeout: float = 60.0, **args: Any) -> Any:
    """Send a command to the device's socket."""
    return await ask(world.config, command, args, timeout=timeout)


async def test_a_recording_by_hand(world: World) -> None:
    """It opens an incident at once, ends by itself, leaves a clip, and is listed and shown."""
    identity = (await tell(world, "record", camera="door", seconds=1.0))["incident"]

    async def over() -> bool:
        found = await tell(world, "incidents.show", id=identity)
        return found["closed"] is not None and bool(found["clips"])

    await until(over)
    shown = await tell(world, "incidents.show", id=identity)
    assert (shown["camera"], shown["kind"], shown["alerting"]) == ("door", IncidentKind.MANUAL, True)
    assert sum(clip["seconds"] for clip in shown["clips"]) >= 1.0
    assert [row["id"] for row in (await tell(world, "incidents.list", limit=5))["incidents"]] == [identity]
    assert {row["destination"] for row in (await tell(world, "outbox.list"))["deliveries"]} == {"folder:usb"}


NONSENSE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"camera": "gate", "seconds": 5.0}, "there is no camera 'gate'; known: door"),
    ({"camera": "door", "seconds": 0.5}, "1 s to 24 h, not 0.5 s"),
    ({"camera": "door", "seconds": 90_000}, "1 s to 24 h, not 90000 s"),
    ({"camera": "door", "seconds": float("nan")}, "1 s to 24 h, not nan s"),
    ({"camera": "door", "seconds": "long"}, "could not convert"),
    ({"camera": "door"}, "the argument 'seconds' is missing"),
    ({}, "the argument 'camera' is missing"),
)


async def test_a_recording_that_makes_no_sense_is_refused(world: World) -> None:
    """The answer says what is wrong, and nothing is recorded."""
    for args, words in NONSENSE:
        with pytest.raises(EdgedError, match=words):
            await tell(world, "record", **args)
    assert (await tell(world, "incidents.list"))["incidents"] == []


async def test_arming_and_status(world: World) -> None:
    """Orders hold at once and are told back; the status says how each camera is."""
    assert await tell(world, "arm", order="disarm", camera="door") == {"door": False}
    assert not world.arming.is_armed("door")
    assert await tell(world, "arm", order="auto", camera=None) == {"door": True}
    assert await tell(world, "status") == {"door": {"well": True, "text": ""}}
    with pytest.raises(EdgedError, match="'off' is no order"):
        await tell(world, "arm", order="off", camera=None)


async def test_drain_closes_what_is_open_and_waits_for_its_delivery(world: World, tmp_path: Path) -> None:
    """The recording is sealed and copied before the answer comes; after it nobody watches, and edged says so."""
    identity = (await tell(world, "record", camera="door", seconds=60.0))["incident"]
    recorder = world.eyes["door"].recorder
    await until(lambda: recorder.incident is not None)
    assert await tell(world, "drain", wait=40.0) == {"empty": True, "waiting": 0}
    shown = await tell(world, "incidents.show", id=identity)
    assert shown["closed"] is not None
    assert shown["clips"]
    copies = {path.stat().st_size for path in (tmp_path / "usb").rglob("*.mp4")}
    assert copies == {clip["size"] for clip in shown["clips"]}
    with pytest.raises(EdgedError, match=r"no longer since `edged drain`"):
        await tell(world, "record", camera="door", seconds=5.0)
    assert await tell(world, "status") == {}


async def test_a_drain_that_makes_no_sense_stops_nothing(world: World) -> None:
    """Without a time to wait the cameras go on."""
    with pytest.raises(EdgedError, match="'wait' is missing"):
        await tell(world, "drain")
    assert not world.draining
    assert world.eyes["door"].capture.health.delivering


async def test_a_drain_without_a_line_gives_up_in_time(state_dir: Path, free_port: int) -> None:
    """What the receiver can't be given in time still waits, and the answer says how much."""
    key = state_dir / "key"
    key.touch(mode=0o600)
    key.write_text("ab" * 32)
    receiver = {"url": f"http://127.0.0.1:{free_port}", "device": "shop", "key": {"file": str(key)}}
    async with living(config(state_dir, receiver=receiver)) as world:
        await watching(world)
        await tell(world, "record", camera="door", seconds=60.0)
        await until(lambda: world.eyes["door"].recorder.incident is not None)
        answer = await tell(world, "drain", wait=0.2)
    assert answer["empty"] is False
    assert answer["waiting"] >= 1


async def test_a_camera_without_pictures_is_not_recorded(state_dir: Path) -> None:
    """The refusal says why, instead of an incident without a clip."""
    cameras = {"door": {"url": str(state_dir / "missing.mp4")}}
    async with living(config(state_dir, cameras=cameras)) as world:
        await until(lambda: world.eyes["door"].capture.health.rung > 0)
        with pytest.raises(EdgedError, match=r"camera door gives no pictures now: .*missing"):
            await tell(world, "record", camera="door", seconds=5.0)


async def test_files_through_the_daemon(world: World, tmp_path: Path) -> None:
    """`edged enqueue` beside a running daemon: the file is copied to the folder."""
    source = tmp_path / "report.txt"
    source.write_text("all quiet")
    (row,) = await tell(world, "enqueue", files=[str(source)])

    async def delivered() -> bool:
        shown = await tell(world, "outbox.show", id=row["delivery"])
        return bool(shown["state"] == "done")

    await until(delivered)
    (copy,) = (tmp_path / "usb").rglob("*report.txt")
    assert copy.read_text() == "all quiet"


async def test_an_unknown_command_is_answered(world: World) -> None:
    """A newer command line gets an answer from an older daemon."""
    with pytest.raises(EdgedError, match="unknown command 'dance'"):
        await tell(world, "dance")
