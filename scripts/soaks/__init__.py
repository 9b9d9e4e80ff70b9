"""Soaks: the real device and the real receiver broken at length, and judged by an oracle that stands outside.

A kind is a module of `scripts/soaks/kinds` with one function. It works in rounds: some cycles of breaking, then
`rig.round(run)`, which heals every fault, waits until everything is delivered, has the oracle judge everything so far,
counts what it found, and starts both again with the same folders. All random choices come from `run.rng`.

    async def soak(run: Run) -> None:
        async with open_rig(run.folder / "1", device_table={"outbox": {"quota": "2MB"}}) as rig:
            await rig.start()
            async for number in run.cycles():
                rig.line.reset_after = rig.line.upstream + run.rng.randrange(50_000)
                await asyncio.sleep(run.rng.uniform(0.1, 3.0))
                run.recovered(await rig.device.killed())
                if number % 10 == 0 or run.is_over(number):
                    await rig.round(run, again=not run.is_over(number))

What else there is: `rig.record(camera, seconds)` and `rig.command(...)` through the control socket; `rig.device` and
`rig.receiver` (program.Program: `kill`, `killed`, `send`, `stop`, `start`, `ready`, `says`, `said`, `pid`, `starts`,
`exits`, `environment` and `command`, which count from the next start); `rig.line` and `rig.mail_line` (tests.proxy);
`rig.mailbox` (tests.mailbox); `rig.healers` for faults of a kind's own; `rig.settle()` and `rig.judge()` apart.
The device writes its state below `device_state` (default: the rig's folder), which may lie on a mounted disk.
"""
