"""The receiver's whole configuration (config/receiver.toml explains each key)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from edged.base.config import Duration, Secret, Size
from edged.channels.address import check_address
from edged.channels.settings import MailSettings
from edged.wire.keys import is_device_name

_LAST_PORT = 65535
_NO_MAIL = MailSettings()


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitSettings:
    """[limits]: what a client may ask of the receiver."""

    largest: Size = Size(8 * 1024**3)  # of one file
    types: tuple[str, ...] = ("video/*", "image/*", "audio/*", "text/*", "application/*")
    open_uploads: int = 500  # begun and unfinished, per device
    upload_life: Duration = Duration(60 * 86400.0)  # of an unfinished upload since its last byte
    idle: Duration = Duration(120.0)  # without a byte, then an upload's connection is closed (its bytes are kept)
    reserve: Size = Size(1024**3)  # of free disk; below it new bytes are refused

    def __post_init__(self) -> None:
        if self.largest <= 0:
            raise ValueError("largest: must be more than nothing")
        if self.open_uploads < 1:
            raise ValueError("open_uploads: must be at least 1")
        for name in ("upload_life", "idle"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be longer than nothing")
        for pattern in self.types:
            main, slash, sub = pattern.partition("/")
            if not (slash and main and sub) or (main == "*" and sub != "*"):
                raise ValueError(f'types: {pattern!r} is no content type; write it like "video/mp4" or "video/*"')


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionSettings:
    """[retention]: what the receiver deletes by itself; without either bound it keeps everything."""

    age: Duration | None = None  # counted from the day a file arrived
    quota: Size | None = None  # of all files together; the oldest go first
    sweep: Duration = Duration(3600.0)  # between two looks

    def __post_init__(self) -> None:
        if self.age is not None and self.age <= 0:
            raise ValueError("age: must be longer than nothing; leave it out to keep everything")
        if self.quota is not None and self.quota <= 0:
            raise ValueError("quota: must be more than nothing; leave it out to keep everything")
        if self.sweep <= 0:
            raise ValueError("sweep: must be longer than nothing")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoginSettings:
    """[login]: the pages' sessions."""

    session: Duration = Duration(7 * 86400.0)
    tries: int = 10  # wrong passwords from one address within `window`
    window: Duration = Duration(900.0)
    trusted_proxies: tuple[str, ...] = ()  # addresses whose X-Forwarded-For names the client

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError("tries: must be at least 1")
        for name in ("session", "window"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be longer than nothing")
        for address in self.trusted_proxies:
            try:
                ipaddress.ip_address(address)
            except ValueError as error:
                raise ValueError(f"trusted_proxies: {address!r} is no IP address") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmSettings:
    """[alarm]: mail when a device has gone silent, and when it is back."""

    recipients: tuple[str, ...] = ()
    silent_after: Duration = Duration(900.0)  # without a heartbeat; never less than three of the device's intervals
    look: Duration = Duration(30.0)  # between two looks

    def __post_init__(self) -> None:
        for name in ("silent_after", "look"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be longer than nothing")
        for recipient in self.recipients:
            try:
                check_address(recipient)
            except ValueError as error:
                raise ValueError(f"recipients: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class LogSettings:
    """[log]: one event a line on standard error."""

    style: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiverConfig:
    """receiver.toml."""

    state: Path  # everything the receiver keeps: database, files, unfinished uploads
    public_url: str  # as devices and browsers reach it
    require_mount: bool = False  # refuse to start while nothing is mounted there, instead of filling the system's disk
    listen: str = "127.0.0.1:8378"
    name: str = ""  # in receipts and mails; empty: the host in public_url
    timezone: str = "UTC"  # for devices that did not tell theirs, and for mails
    limits: LimitSettings = LimitSettings()
    retention: RetentionSettings = RetentionSettings()
    login: LoginSettings = LoginSettings()
    alarm: AlarmSettings = AlarmSettings()
    mail: MailSettings = _NO_MAIL
    log: LogSettings = LogSettings()
    tokens: dict[str, Secret] = field(default_factory=dict)  # bearer tokens of foreign tus clients, by name

    def __post_init__(self) -> None:
        parts = urlsplit(self.public_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError(f'public_url: {self.public_url!r} is no address like "https://cctv.example.org"')
        try:
            self.address()
        except ValueError as error:
            raise ValueError(f'listen: {self.listen!r} is not "ADDRESS:PORT"; write "127.0.0.1:8378"') from error
        try:
            ZoneInfo(self.timezone)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f'timezone: {self.timezone!r} is no time zone; write it like "Europe/Berlin"') from error
        for name in self.tokens:
            if not is_device_name(name):
                raise ValueError(f"tokens.{name}: a name has letters, digits and . _ - only")
        if self.alarm.recipients and not self.mail.relays:
            raise ValueError("alarm.recipients: no mail can be sent without [[mail.relays]]")

    def address(self) -> tuple[str, int]:
        """Return host and port to listen on; ValueError if `listen` is malformed."""
        host, _, port = self.listen.rpartition(":")
        number = int(port)
        if not host or not 0 <= number <= _LAST_PORT:
            raise ValueError(self.listen)
        return host.strip("[]"), number

    @property
    def title(self) -> str:
        """The receiver's name for people."""
        return self.name or urlsplit(self.public_url).hostname or "receiver"

    @property
    def https(self) -> bool:
        """Browsers reach the receiver through TLS, so cookies may be bound to it."""
        return self.public_url.startswith("https://")
