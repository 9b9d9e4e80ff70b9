"""`edged reload`: finds the daemon that runs by a configuration file, also when that can't be read any more, and asks.

It runs beside the daemon in the service's memory, so it imports little.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged.base.errors import EdgedError
from edged.settings import DeviceSettings, load_device
from edged.supervise.control import NoDaemonError, call

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PATIENCE = 90.0  # seconds, within systemd's for a reload: a slow card is read, and secrets on a share


async def order(path: Path, environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Have the daemon take what has changed in the file at the absolute `path`; return what it answers.

    Raises CommandError when it refuses, ConfigError or NoDaemonError when none runs and the file is broken or sound.
    """
    states = _states(path, environment)
    for state in states:
        try:
            answer: dict[str, Any] = await call(
                state / "control.sock", "reload", {"config": str(path)}, timeout=_PATIENCE
            )
        except NoDaemonError:
            continue
        except OSError as error:
            raise EdgedError(f"{state / 'control.sock'} can't be reached: {error.strerror}") from error
        return answer
    load_device(path)
    raise NoDaemonError(f"no edged is running on {states[0]}")


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Yield what a person should read of the daemon's answer."""
    if result["taken"]:
        yield f"taken: {', '.join(result['taken'])}"
    if result["restart"]:
        yield f"needs a restart: {', '.join(result['restart'])}"
    if not result["taken"] and not result["restart"]:
        yield "nothing changed"
    yield from (f"note: {note}" for note in result["notes"])


def _states(path: Path, environment: Mapping[str, str]) -> list[Path]:
    """Return where a daemon may run: as the file says, as far as it can be read; then as it may have said before."""
    usual = DeviceSettings(name="edged").state
    named = environment.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd's, with a unit's ExecReload=
    former = (Path(named) if named else usual, usual)
    return list(dict.fromkeys((_configured(path) or usual, *(each for each in former if os.access(each, os.X_OK)))))


def _configured(path: Path) -> Path | None:
    try:
        return Path(tomllib.loads(path.read_text(encoding="utf-8"))["device"]["state"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
