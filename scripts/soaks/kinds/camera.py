"""Camera: three break in every way that cameras do, beside one that must not notice; the gap ledger to the second."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edged.base.clock import SystemClock
from scripts.soaks.oracle import device, pictures
from scripts.soaks.oracle.judge import Finding
from scripts.soaks.program import SoakError
from scripts.soaks.rig import open_rig
from scripts.soaks.tables import cameras
from tests.feeder import SPOILT, Feeder

if TYPE_CHECKING:
    from random import Random

    from scripts.soaks.rig import Rig
    from scripts.soaks.run import Run
    from tests.feeder import Fault

_CYCLES = 6  # of breaking in a round
_ROUNDS = 4  # with the same folders
_SILENCE, _FROZEN, _LOST = 3.0, 6.0, 5.0  # seconds, as configured below
_WALKS = 10.0  # seconds between two walks past the camera that is left alone: what comes oftener counts as foliage
_OUTAGES: tuple[Fault, ...] = ("hang", "refuse", "end", "garbage", "sound", "frozen")
_STRANGE: tuple[Fault, ...] = ("black", "covered", "damage", "slow", "jumping", "standing", "returning")
_CONVERGED = 16.0  # seconds after which an encoder makes the same of a frozen picture
_SHORT = 0.3  # how often, of 1.0, a fault lasts a second alone
_BACK = 150.0  # seconds: the ladder waits for a minute at most
_STEADY = 3.0  # seconds of good pictures, before the next thing breaks
_now = SystemClock().mono


@dataclass(kw_only=True)
class _World:
    """One set of folders: the feeders by their cameras' names, and what was seen of this life of the device."""

    rig: Rig
    run: Run
    feeders: dict[str, Feeder]
    since: float = 0.0
    starts: int = 0
    findings: list[Finding] = field(default_factory=list)
    unsure: dict[str, list[tuple[float, float]]] = field(default_factory=dict)  # times, by camera
    frozen: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def note(self, kind: Any, text: str) -> None:
        """Take a finding."""
        self.findings.append(Finding(kind=kind, what=f"{text} {_now():.0f}", text=text))


async def soak(run: Run) -> None:
    """Break cycle by cycle; each round ends with the oracle, and some rounds with fresh folders."""
    number, fresh, over = 0, 0, False
    cycles = run.cycles()
    while not over:
        fresh += 1
        with contextlib.ExitStack() as stack:
            feeders = {
                f"bad{n}": stack.enter_context(
                    Feeder(run.rng.randrange(1000), period=run.rng.choice((9.0, 12.0)), rate=6.0)
                )
                for n in (1, 2, 3)
            }
            async with open_rig(run.folder / str(fresh), device_table=_table(feeders)) as rig:
                world = _World(rig=rig, run=run, feeders=feeders)
                await rig.start()
                await _begin(world)
                async for number in cycles:
                    over = run.is_over(number)
                    await _break(world)
                    if number % _CYCLES == 0 or over:
                        renew = number % (_CYCLES * _ROUNDS) == 0
                        await _round(world, again=not over and not renew)
                        if over or renew:
                            break


def _table(feeders: dict[str, Feeder]) -> dict[str, Any]:
    calm = cameras(1, every=_WALKS, walk=2.0)["cam1"]
    bad = {
        name: {
            "url": feeder.url,
            "health": {
                "silence": f"{_SILENCE:g}s",
                "stuck": "6s",
                "first_picture": "10s",
                "frozen": f"{_FROZEN:g}s",
                "dark": "4s",
            },
            "detect": calm["detect"],
        }
        for name, feeder in feeders.items()
    }
    return {
        "cameras": {"calm": calm, **bad},
        "supervise": {"camera_lost": f"{_LOST:g}s"},
        "alerts": {"cooldown": "0s", "digest_after": "60s"},
    }


async def _begin(world: _World) -> None:
    """Wait until all cameras have given pictures for a while: from here on the ledger is held to them."""
    await _shown(world, tuple(world.feeders))
    await asyncio.sleep(2.0)
    world.since, world.starts = _now(), world.rig.device.starts


async def _break(world: _World) -> None:
    """One cycle: some cameras break, in one way each, are mended one after the other, and come back."""
    rng, began = world.run.rng, _now()
    broken = {name: _fault(rng) for name in rng.sample(sorted(world.feeders), rng.choice((1, 1, 2, 3)))}
    for name, fault in broken.items():
        _apply(world.feeders[name], fault, rng)
    healed = {}
    for name, fault in broken.items():
        await asyncio.sleep(
            rng.uniform(0.2, 1.5) if rng.random() < _SHORT else rng.choice((7.0, 14.0)) * rng.uniform(0.7, 1.3)
        )
        if fault == "frozen":
            await asyncio.sleep(_CONVERGED)
        world.feeders[name].fault = ""
        healed[name] = _now()
        if fault in SPOILT:
            world.unsure.setdefault(name, []).append((began - 1.0, healed[name] + _STEADY))
        if fault == "frozen" and healed[name] - began > _FROZEN + _CONVERGED:
            world.frozen.setdefault(name, []).append((began, healed[name]))
    for name, since in healed.items():
        await _shown(world, (name,))
        world.run.recovered(max(0.0, world.feeders[name].runs[-1].start - since))
    world.run.note(", ".join(f"{name} {fault}" for name, fault in broken.items()))
    await asyncio.sleep(1.0)


def _fault(rng: Random) -> str:
    return rng.choice((*_OUTAGES, *_OUTAGES, *_STRANGE, "size", "codec"))


def _apply(feeder: Feeder, fault: str, rng: Random) -> None:
    match fault:
        case "size":
            feeder.size = rng.choice([size for size in ((320, 180), (640, 360), (160, 90)) if size != feeder.size])
        case "codec":
            feeder.codec = "libx265" if feeder.codec == "libx264" else "libx264"
        case _:
            feeder.fault = fault  # type: ignore[assignment]


async def _shown(world: _World, names: tuple[str, ...]) -> None:
    """Wait until good pictures of these cameras have been taken for a while."""
    began = _now()
    while not all(_steady(world.feeders[name], began) for name in names):
        if _now() - began > _BACK:
            raise SoakError(f"{names}: mended {_BACK:g} s ago and not read; see {world.rig.device.log}")
        await asyncio.sleep(0.05)


def _steady(feeder: Feeder, began: float) -> bool:
    if not feeder.runs:
        return False
    newest = feeder.runs[-1]
    return newest.end > began + 1.0 and newest.end - newest.start > _STEADY and _now() - newest.end < _STEADY


async def _round(world: _World, *, again: bool) -> None:
    """End a round: what must be so while all is well, then the oracle's verdict, then the ledger's."""
    await asyncio.sleep(3.0)
    until = _now() - 0.5
    rig = world.rig
    for name, feeder in world.feeders.items():
        if feeder.open > 1:
            world.note("left_over", f"{feeder.open} connections to {name}: abandoned ones are left")
    if rig.device.starts != world.starts:
        world.note("lost", "the device was restarted for a camera's sake")
    await rig.round(world.run, again=False)
    for name, feeder in world.feeders.items():
        if feeder.open:
            world.note("left_over", f"a connection to {name} outlives the device")
    await asyncio.to_thread(_compare, world, until)
    world.run.found(world.findings)
    world.findings.clear()
    if again:
        await rig.start()
        await _begin(world)


def _compare(world: _World, until: float) -> None:
    there = device.look(world.rig.device_state)
    for name, feeder in world.feeders.items():
        shown = pictures.Shown(
            camera=name,
            runs=feeder.runs,
            since=world.since,
            until=until,
            silence=_SILENCE,
            unsure=world.unsure.get(name, ()),
        )
        world.run.obliged(len(shown.outages()))
        world.findings += pictures.gaps(shown, there.gaps)
        world.findings += pictures.frozen(name, world.frozen.get(name, ()), there.gaps)
        world.findings += pictures.told(name, there.notices, 0)
    if disturbed := [row for row in there.gaps if row["camera"] == "calm" and row["start_mono"] > world.since]:
        world.note("lost", f"the camera that was left alone had {len(disturbed)} gaps: {disturbed[0]['reason']}")
    seen = [row for row in there.incidents if row["camera"] == "calm" and world.since <= row["opened_mono"] <= until]
    expected = int((until - world.since) / _WALKS) - 1
    if len(seen) < expected:
        world.note("lost", f"the camera that was left alone saw {len(seen)} of {expected} walks")
