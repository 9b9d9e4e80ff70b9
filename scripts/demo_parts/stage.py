"""The demo's stage: directories, configurations, keys, and the two programs as processes of their own."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

FOOTAGE = Path(__file__).parent / "footage" / "one-by-one.mp4"
CAMERA = "entrance"
DEVICE = "demo"
RECIPIENT = "owner@demo.invalid"
EDGED = Path(sys.executable).with_name("edged")
_MARK = ".edged-demo"  # only a directory that an earlier demo made is emptied

_RECEIVER = """\
state = "{out}/receiver"
listen = "127.0.0.1:{port}"
public_url = "http://127.0.0.1:{port}"
name = "Demo receiver"

[log]
style = "json"
"""

CAMERAS = f"""\
[cameras.{CAMERA}]
url = "{FOOTAGE}"
loop = true
"""

_DEVICE = """\
[device]
name = "{device}"
site = "Demo"
state = "{out}/device"

{cameras}
[alerts]
recipients = ["{recipient}"]
cooldown = "{cooldown}"

[mail]
sender = "edged demo <device@demo.invalid>"
[[mail.relays]]
host = "127.0.0.1"
port = {mail}
security = "opportunistic"

[receiver]
url = "http://127.0.0.1:{port}"
device = "{device}"
key = {{ env = "EDGED_DEMO_KEY" }}

[http]
listen = "127.0.0.1:{http}"

[log]
style = "json"
"""


class DemoError(Exception):
    """The demo can't go on; the text says why."""


@dataclass(kw_only=True)
class Stage:
    """Where everything is, and what runs."""

    out: Path
    receiver_port: int
    http_port: int
    mail_port: int
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    key: str = ""
    receiver: asyncio.subprocess.Process | None = None
    device: asyncio.subprocess.Process | None = None

    @property
    def status_page(self) -> str:
        """The device's page."""
        return f"http://127.0.0.1:{self.http_port}/"

    @property
    def receiver_page(self) -> str:
        """The receiver's page."""
        return f"http://127.0.0.1:{self.receiver_port}/"

    def get(self, path: str) -> bytes:
        """Return what the device's page answers, whatever the status."""
        request = urlopen(self.status_page + path, timeout=10)  # noqa: S310 -- loopback, our own daemon
        with request:
            return bytes(request.read())


def free_ports(count: int) -> list[int]:
    """Return TCP ports on loopback that are free now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports


def prepare(out: Path, mail_port: int, cameras: str = CAMERAS, cooldown: str = "60s") -> Stage:
    """Make the directory (emptying an earlier demo's), write both configurations, make the key and the login.

    `cameras` holds the cameras' tables of the device's configuration.
    """
    if (out / _MARK).exists():
        shutil.rmtree(out)
    elif out.exists() and any(out.iterdir()):
        raise DemoError(f"{out} is not empty and no earlier demo's; name another folder")
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).touch()
    receiver_port, http_port = free_ports(2)
    stage = Stage(out=out, receiver_port=receiver_port, http_port=http_port, mail_port=mail_port)
    (out / "receiver.toml").write_text(_RECEIVER.format(out=out, port=receiver_port))
    (out / "edged.toml").write_text(
        _DEVICE.format(
            out=out,
            device=DEVICE,
            cameras=cameras,
            cooldown=cooldown,
            recipient=RECIPIENT,
            mail=mail_port,
            port=receiver_port,
            http=http_port,
        )
    )
    stage.key = _admin(out, "device", "add", DEVICE)
    _admin(out, "user", "add", "demo", stdin=stage.password + "\n")
    return stage


def _admin(out: Path, *words: str, stdin: str = "") -> str:
    command = [str(EDGED), "receive", *words, "--config", str(out / "receiver.toml")]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"edged receive {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout.strip()


async def start(stage: Stage, **environment: str) -> None:
    """Start the receiver, wait until it answers, start the device with more `environment` variables."""
    stage.receiver = await asyncio.create_subprocess_exec(
        *(EDGED, "receive", "--config", stage.out / "receiver.toml"),
        stderr=(stage.out / "receiver.log").open("wb"),
        start_new_session=True,  # Ctrl-C is for the demo alone, which stops its programs in order
    )
    await _answering(stage.receiver_port, stage.receiver)
    stage.device = await asyncio.create_subprocess_exec(
        *(EDGED, "run", "--config", stage.out / "edged.toml"),
        env={**os.environ, "EDGED_DEMO_KEY": stage.key, **environment},
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        limit=1024 * 1024,
    )


async def _answering(port: int, process: asyncio.subprocess.Process) -> None:
    for _ in range(300):
        if process.returncode is not None:
            raise DemoError("the receiver ended at its start; its log says why: receiver.log")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
            continue
        writer.close()
        return
    raise DemoError("the receiver did not begin to answer within 30 s; its log says why: receiver.log")


async def drain(stage: Stage) -> bool:
    """Have the device close and deliver everything; False if something still waits after three minutes."""
    asked = await asyncio.create_subprocess_exec(
        *(EDGED, "drain", "--wait", "3min", "--config", stage.out / "edged.toml"),
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    return await asked.wait() == 0


async def stop(stage: Stage) -> None:
    """Stop device and receiver in order; kill what does not stop within a minute."""
    for process in (stage.device, stage.receiver):
        if process is None or process.returncode is not None:
            continue
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 60)
        except TimeoutError:
            process.kill()
            await process.wait()
