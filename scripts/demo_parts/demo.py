"""The demo: edged's main job on one machine, shown line by line, judged at the end."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from scripts.demo_parts.mail_catcher import MailCatcher
from scripts.demo_parts.stage import DemoError, Stage, drain, prepare, start, stop
from scripts.demo_parts.story import Story
from scripts.demo_parts.verdict import collect_clips, examine

if TYPE_CHECKING:
    from scripts.demo_parts.verdict import Findings


def main() -> int:
    """Run the demo; 0 only when every incident has its verified clip, and its alert unless it was held back."""
    parser = argparse.ArgumentParser(prog="./scripts/demo", description=__doc__)
    parser.add_argument("--for", dest="seconds", type=float, metavar="SECONDS", help="default: until Ctrl-C")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR", help="default: ./demo-out")
    options = parser.parse_args()
    try:
        return asyncio.run(show(options.out.resolve(), options.seconds))
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("demo: interrupted, nothing was judged", file=sys.stderr)
        return 130


async def show(out: Path, seconds: float | None) -> int:
    """Set the stage, play, and judge."""
    async with MailCatcher() as catcher:
        stage = await asyncio.to_thread(prepare, out, catcher.port)
        catcher.deliver_to(out / "mails")
        try:
            await start(stage)
            _introduce(stage)
            figures = await _play(stage, seconds)
        finally:
            await stop(stage)
    findings = await asyncio.to_thread(examine, out)
    await asyncio.to_thread(collect_clips, out)
    return _judge(findings, figures)


def _introduce(stage: Stage) -> None:
    print(f"status page  {stage.status_page}")
    print(f"receiver     {stage.receiver_page}  (user demo, password {stage.password})")
    print(f"everything   {stage.out}", flush=True)


async def _play(stage: Stage, seconds: float | None) -> dict[str, Any]:
    """Tell the story until the time is over, then drain; return the device's own figures."""
    if stage.device is None:
        raise DemoError("the device was not started")
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    telling = asyncio.create_task(_tell(stage, stage.device))
    curtain = asyncio.create_task(ended.wait())
    await asyncio.wait({telling, curtain}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    curtain.cancel()
    loop.remove_signal_handler(signal.SIGINT)  # a second Ctrl-C ends the wait for what is under way
    if stage.device.returncode is not None or telling.done():
        raise DemoError("the device ended by itself; its last lines above say why")
    print("closing what is open, and waiting for what is under way", flush=True)
    drained = await drain(stage)
    figures = await asyncio.to_thread(_figures, stage, stage.device.pid)
    if not drained:
        figures["waiting"] = True
    await stop(stage)
    await telling
    return figures


async def _tell(stage: Stage, device: asyncio.subprocess.Process) -> None:
    if device.stderr is None:
        raise DemoError("the device's log can't be read")
    story = Story()
    with (stage.out / "device.log").open("wb") as log:
        async for raw in device.stderr:
            log.write(raw)
            if line := story.line(raw):
                print(line, flush=True)


def _figures(stage: Stage, pid: int) -> dict[str, Any]:
    process = psutil.Process(pid)
    health = json.loads(stage.get("health"))
    cpu = process.cpu_times()
    return {
        "bytes_sent": health["bytes_sent"],
        "bytes_wasted": health["bytes_wasted"],
        "loop_lag_p99_ms": round(health["loop_lag_p99_s"] * 1000, 2),
        "rss_mb": round(process.memory_info().rss / 1e6, 1),
        "cpu_seconds_per_camera_second": round((cpu.user + cpu.system) / health["uptime_s"], 4),
    }


def _judge(findings: Findings, figures: dict[str, Any]) -> int:
    for text in findings.missing:
        print(f"missing: {text}")
    late = figures.pop("waiting", False)
    if late:
        print("missing: not everything was delivered in time")
    counts = {
        name: getattr(findings, name)
        for name in (
            *("incidents", "alerts_received", "alerts_held_back"),
            *("clips_received", "clips_verified", "duplicates"),
        )
    }
    print(json.dumps(counts | figures), flush=True)
    return 1 if findings.missing or findings.duplicates or late else 0


if __name__ == "__main__":
    sys.exit(main())
