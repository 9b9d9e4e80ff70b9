"""Kill: device and receiver ended at random moments, told to stop once and twice, hung; lines cut at random bytes.

A saboteur inside the device also wedges its loop, and has single tasks die, fall silent, turn deaf to cancellation or
wait for a thread that never returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

from edged.base.errors import EdgedError
from scripts.soaks.rig import SABOTAGED, open_rig
from scripts.soaks.tables import cameras

if TYPE_CHECKING:
    from random import Random

    from scripts.soaks.program import Program
    from scripts.soaks.rig import Rig
    from scripts.soaks.run import Run

_CYCLES = 10  # of breaking in a round
_ROUNDS = 8  # with the same folders
_WATCHDOG = 6.0  # seconds; a hung device costs little more
_CUT, _MUTE, _BY_HAND, _PATIENT, _SPARE = 0.5, 0.25, 0.5, 0.7, 0.5  # how often, of 1.0
_BYTES = 30_000  # from now on a line is cut within so many
_ENDS = {
    "kill device": 8,
    "kill receiver": 4,
    "kill both": 3,
    "term": 1,
    "term twice": 1,
    "term kill": 1,
    "pause device": 1,
    "pause receiver": 1,
    "hang": 1,
    "wedge": 1,
    "sabotage": 4,
}  # how often, in proportion
_ORDERS = ("die", "silent", "deaf", "thread")
_TASKS = (
    *("capture cam1", "detect cam1", "record cam1", "alerts", "uploads", "link", "heartbeat"),
    *("notices", "outbox", "watchdog", "lag"),
)


async def soak(run: Run) -> None:
    """Break cycle by cycle; each round ends with the oracle, and some rounds with fresh folders."""
    number, fresh = 0, 0
    cycles = run.cycles()
    over = False
    while not over:
        fresh += 1
        table = {
            "cameras": cameras(3, every=4.5, walk=1.5),
            "outbox": {"delete_after_proof": run.rng.random() < _SPARE},
        }
        async with open_rig(
            run.folder / str(fresh), device_table=table, device_command=SABOTAGED, watchdog=_WATCHDOG
        ) as rig:
            await rig.start()
            async for number in cycles:
                over = run.is_over(number)
                await _break(rig, run)
                if number % _CYCLES == 0 or over:
                    renew = number % (_CYCLES * _ROUNDS) == 0
                    await rig.round(run, again=not over and not renew)
                    if over or renew:
                        break


async def _break(rig: Rig, run: Run) -> None:
    """One cycle: something happens, the line is cut, and somebody dies."""
    rng = run.rng
    _cut_lines(rig, rng)
    async with asyncio.TaskGroup() as asking:
        if rng.random() < _BY_HAND:
            asking.create_task(_record(rig, f"cam{rng.randint(1, 3)}", rng.uniform(1.0, 4.0)))
        await asyncio.sleep(rng.choice((0.05, 0.3, 1.0, 3.0)) * rng.uniform(0.2, 1.8))
        (how,) = rng.choices(tuple(_ENDS), tuple(_ENDS.values()))
        await _end(rig, how, rng)
    if rng.random() < _PATIENT:  # else the next one comes while they start
        await rig.start()


def _cut_lines(rig: Rig, rng: Random) -> None:
    for line in (rig.line, rig.mail_line):
        if rng.random() < _CUT:
            line.reset_after = line.upstream + rng.randrange(_BYTES)
        if rng.random() < _MUTE:
            line.lose_answer_at = line.upstream + rng.randrange(_BYTES)


async def _record(rig: Rig, camera: str, seconds: float) -> None:
    """Have a camera record by hand, whether that succeeds or not: the log tells what was promised."""
    with contextlib.suppress(EdgedError):
        await rig.record(camera, seconds)


async def _pause(program: Program, rng: Random) -> None:
    """Hold a process for some seconds; a device may be ended by its watchdog meanwhile."""
    await program.ready()
    held = program.pid
    program.send(signal.SIGSTOP)
    await asyncio.sleep(rng.uniform(0.5, _WATCHDOG))
    if program.running and program.pid == held:
        program.send(signal.SIGCONT)


async def _end(rig: Rig, how: str, rng: Random) -> None:
    device, receiver = rig.device, rig.receiver
    match how:
        case "kill device":
            device.kill()
            for _ in range(rng.choice((0, 0, 1, 3))):  # again, while it starts
                await asyncio.sleep(rng.uniform(0.0, 2.0))
                device.kill()
        case "kill receiver":
            receiver.kill()
        case "kill both":
            device.kill()
            receiver.kill()
        case "pause device":
            await _pause(device, rng)
        case "pause receiver":
            await _pause(receiver, rng)
        case _:
            await device.ready()
            await _end_from_within(rig, how, rng)


async def _end_from_within(rig: Rig, how: str, rng: Random) -> None:
    """What the device itself has a part in."""
    device = rig.device
    match how:
        case "hang":
            device.send(signal.SIGSTOP)  # the watchdog finds it and ends it
        case "wedge":
            rig.sabotage("wedge")
        case "sabotage":
            rig.sabotage(rng.choice(_ORDERS), rng.choice(_TASKS))
        case _:
            device.send(signal.SIGTERM)
            await asyncio.sleep(rng.uniform(0.0, 0.3))
            if how != "term":
                device.send(signal.SIGTERM if how == "term twice" else signal.SIGKILL)
