"""What root allows the privileged helper to do: /etc/edged/act.toml. Without the file it does nothing."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edged.base.config import Duration, load
from edged.base.errors import ConfigError, Mistake

CONFIG = Path("/etc/edged/act.toml")

_LONGEST_OFF = 60.0  # seconds
# the kernel's name of a device, which is that of its port (bus-port.port...), or what the device says that it is
_PORT = re.compile(r"\d{1,3}-\d{1,3}(\.\d{1,3}){0,6}")
_IDENTITY = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}(:.{1,126})?")


@dataclass(frozen=True, kw_only=True, slots=True)
class ResetRule:
    """`[reset.CAMERA]`: how the power of one camera is reset."""

    usb: tuple[str, ...]  # ports ("1-1.3") or devices ("046d:0825", "046d:0825:SERIAL"), switched together
    method: Literal["auto", "power", "authorize"] = "auto"  # auto: the power where the hub can switch it
    off: Duration = Duration(5)
    a_day: int = 3

    def __post_init__(self) -> None:
        """Refuse what names no device, or could never work; ValueError names the key."""
        if not self.usb:
            raise ValueError('usb: names no device; write it like ["1-1.3"] (see: lsusb -t)')
        for name in self.usb:
            if not (_PORT.fullmatch(name) or _IDENTITY.fullmatch(name)):
                raise ValueError(f'usb: {name!r} is no port like "1-1.3" and no device like "046d:0825"')
        if not 0 < self.off <= _LONGEST_OFF:
            raise ValueError(f"off: must be longer than 0s and at most {_LONGEST_OFF:g}s")
        if self.a_day < 1:
            raise ValueError("a_day: must be 1 or more; to never reset leave the table out")


@dataclass(frozen=True, kw_only=True, slots=True)
class RebootRule:
    """`[reboot]`: whether edged may have the machine rebooted, and how often."""

    allowed: bool = False
    a_day: int = 1

    def __post_init__(self) -> None:
        """Refuse a budget that allows nothing; ValueError names the key."""
        if self.a_day < 1:
            raise ValueError("a_day: must be 1 or more; to never reboot set allowed = false")


@dataclass(frozen=True, kw_only=True, slots=True)
class ActConfig:
    """The whole file."""

    reset: dict[str, ResetRule] = field(default_factory=dict)
    reboot: RebootRule = field(default_factory=RebootRule)


def load_act(path: Path) -> ActConfig:
    """Read the file at `path`; one that is missing allows nothing. ConfigError lists every mistake in it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ActConfig()
    except OSError as error:
        raise ConfigError((Mistake(key="", text=f"{path} can't be read: {error.strerror}"),)) from error
    if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        advice = f"chown root {path}; chmod go-w {path}"
        text = f"{path} can be written by others than root, so it grants nothing; run: {advice}"
        raise ConfigError((Mistake(key="", text=text),))
    return load(path, ActConfig)
