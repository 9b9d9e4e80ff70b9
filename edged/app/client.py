"""How a command reaches its work: through the running daemon, or under its lock when none runs."""

from __future__ import annotations

import asyncio
import os
import pwd
from typing import TYPE_CHECKING, Any

from edged.base.errors import EdgedError
from edged.outbox.spool import Spool
from edged.supervise.control import NoDaemonError, call

if TYPE_CHECKING:
    from pathlib import Path

    from edged.settings import DeviceConfig


async def ask(config: DeviceConfig, command: str, args: dict[str, Any], *, timeout: float) -> Any:
    """Return the command's result; EdgedError when it is refused or needs a daemon that does not run."""
    spool = Spool(config.device.state, require_mount=config.device.require_mount)
    try:
        return await call(spool.control, command, args, timeout=timeout)
    except NoDaemonError:
        # not before: numpy, OpenCV and PyAV cost seconds and 60 MB on a Pi, for nothing where a daemon answers
        from edged.app import alone  # noqa: PLC0415

        if command not in alone.KNOWN:
            raise
    except OSError as error:
        raise EdgedError(f"{spool.control} can't be reached: {error.strerror}") from error
    stranger = await asyncio.to_thread(owner, spool.root)
    if stranger:
        raise EdgedError(f"{spool.root} belongs to {stranger}: run this command as that user, or start edged")
    return await alone.carry_out(config, spool, command, args)


def owner(root: Path) -> str:
    """Return who else the directory belongs to, "" if it is ours or not made yet; OSError if it can't be asked.

    Not even root may write there in the owner's place: the files made would be closed to the daemon.
    """
    try:
        uid = root.stat().st_uid
    except FileNotFoundError:
        return ""
    if uid == os.geteuid():
        return ""
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user number {uid}"
