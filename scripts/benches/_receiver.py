"""A receiver in a process of its own, for benches: python -m scripts.benches._receiver DIRECTORY.

Prints {"port": ..., "key": ...} once it listens, and serves until its standard input ends. It knows the device
"bench" by that key, and "bench-token" as a foreign client's bearer token.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from edged.base.clock import SystemClock
from edged.base.secret import Secret
from edged.receiver.app import serve
from edged.receiver.settings import ReceiverConfig
from edged.wire.keys import new_device_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "bench-token"  # noqa: S105 -- of a server that lives for a minute on loopback
DEVICE = "bench"


@asynccontextmanager
async def receiver(directory: Path) -> AsyncIterator[tuple[int, str]]:
    """Run a receiver that keeps its files in `directory`; the port that it listens on, and the device's key."""
    command = (sys.executable, "-m", __name__, str(directory))
    pipe = asyncio.subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment)
    if process.stdout is None or process.stdin is None:
        raise RuntimeError("the receiver's process was started without its pipes")
    told = json.loads(await process.stdout.readline())
    try:
        yield told["port"], told["key"]
    finally:
        process.stdin.close()
        await process.wait()


async def _serve(directory: Path) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    os.environ["EDGED_BENCH_TOKEN"] = TOKEN
    config = ReceiverConfig(
        state=directory,
        public_url="http://127.0.0.1:1",
        listen="127.0.0.1:0",
        tokens={"curl": Secret("env", "EDGED_BENCH_TOKEN")},
    )
    key = new_device_key()
    async with serve(config) as serving:
        await serving.world.registry.add_device(DEVICE, key, SystemClock().wall(), replace=True)
        print(json.dumps({"port": serving.port, "key": key}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
