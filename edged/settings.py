"""The device's configuration file: the stages' own sections put together, and what must hold between them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edged.base.config import load, secrets_in
from edged.base.errors import ConfigError, Mistake
from edged.base.week import parse_span
from edged.capture.settings import CameraSettings, LastResortSettings
from edged.channels.settings import MailSettings
from edged.detect.settings import DetectSettings
from edged.outbox.settings import AlertSettings, OutboxSettings
from edged.push.settings import FolderSettings, PushSettings, ReceiverSettings
from edged.record.settings import RecordSettings
from edged.supervise.settings import HttpSettings, SuperviseSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")  # in file names, keys, metric labels and URLs

_LONGEST_STATE = 107 - len("/control.sock")  # bytes: unix(7), sun_path


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceSettings:
    """`[device]`: who this box is."""

    name: str
    state: Path = Path("/var/lib/edged")
    require_mount: bool = False  # refuse to start while nothing is mounted there, instead of filling the system's disk
    site: str = ""  # as people know the place; the name if empty
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse a name that can't be part of a file's name, a directory that can't be used, an unknown zone."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r} must be 1 to 32 small letters, digits and dashes")
        if not self.state.is_absolute():
            raise ValueError(
                f"state: {str(self.state)!r} must begin with /, so that every command means the same place"
            )
        if len(os.fsencode(self.state)) > _LONGEST_STATE:
            raise ValueError(f"state: is longer than {_LONGEST_STATE} bytes, too long for the control socket in it")
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f'timezone: {self.timezone!r} is not known; write it like "Europe/Berlin"') from None

    @property
    def title(self) -> str:
        """The place's name for people."""
        return self.site or self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class LogSettings:
    """`[log]`: one event a line on standard error, where systemd's journal takes it."""

    style: Literal["json", "text"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraSection(CameraSettings):
    """`[cameras.NAME]`: the camera itself, and how its pictures are watched."""

    detect: DetectSettings = field(default_factory=DetectSettings)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceConfig:
    """The whole file."""

    device: DeviceSettings
    cameras: dict[str, CameraSection]
    recovery: LastResortSettings = field(default_factory=LastResortSettings)
    record: RecordSettings = field(default_factory=RecordSettings)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    mail: MailSettings = field(default_factory=MailSettings)
    receiver: ReceiverSettings | None = None
    folders: dict[str, FolderSettings] = field(default_factory=dict)
    push: PushSettings = field(default_factory=PushSettings)
    outbox: OutboxSettings = field(default_factory=OutboxSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    supervise: SuperviseSettings = field(default_factory=SuperviseSettings)
    log: LogSettings = field(default_factory=LogSettings)

    def __post_init__(self) -> None:
        """Refuse what can't hold between the sections."""
        _require_names("cameras", self.cameras)
        _require_names("folders", self.folders)
        for name, folder in self.folders.items():
            if folder.path.is_relative_to(self.device.state):
                raise ValueError(f"folders.{name}.path: lies in device.state, where edged itself keeps everything")
        if not self.cameras:
            raise ValueError("cameras: there is none; add a table [cameras.NAME]")
        if len({camera.pi.tuning for camera in self.cameras.values() if camera.source == "picamera"}) > 1:
            raise ValueError('cameras: all of source = "picamera" must name one pi.tuning: libcamera reads only one')
        for text in self.alerts.armed:
            try:
                parse_span(text)
            except ValueError as error:
                raise ValueError(f"alerts.armed: {error}") from error
        if self.alerts.recipients and not self.mail.relays:
            raise ValueError("mail.relays: is missing, and [alerts] names recipients; add a [[mail.relays]]")
        if self.outbox.delete_after_proof and self.receiver is None:
            raise ValueError("outbox.delete_after_proof: needs a [receiver]: a folder's copy is only an extra one")


def _require_names(kind: str, names: Iterable[str]) -> None:
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{kind}.{name}: a name must be 1 to 32 small letters, digits and dashes")


def load_device(path: Path) -> DeviceConfig:
    """Read a device's configuration file; ConfigError lists every mistake in it."""
    return load(path, DeviceConfig)


def check_secrets(config: object) -> None:
    """Raise ConfigError with every secret that the file names and that can't be had."""
    mistakes = []
    for key, secret in secrets_in(config).items():
        try:
            secret.reveal()
        except ValueError as error:
            mistakes.append(Mistake(key=key, text=str(error)))
    if mistakes:
        raise ConfigError(tuple(mistakes))
