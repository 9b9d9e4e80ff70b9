"""Settings of the way out: the receiver, extra folders, and how the line is used."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from edged.base.config import Duration, Rate, Secret, Size
from edged.base.week import parse_span
from edged.wire.keys import is_device_name

_SCHEMES = ("http://", "https://")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceiverSettings:
    """Where uploads go: edged's own receiver (`device` and `key`) or a foreign tus server (`bearer`, or neither)."""

    url: str  # of an edged receiver its root; of a foreign server the address that creates uploads
    device: str = ""  # this device's name at the receiver
    key: Secret | None = None  # as `edged receive device add NAME` printed it
    bearer: Secret | None = None  # token for a foreign tus server
    readback: bool = False  # fetch a foreign server's copy again and compare it: proof enough to delete
    page: str = ""  # where people reach the receiver, for links in mails; `url` if empty
    link_valid: Duration = Duration(14 * 86400)  # how long a mail's link opens the incident's page
    ca: Path | None = None  # certificate of a private authority that signed the receiver's

    connect_timeout: Duration = Duration(30)  # name look-up, connection and TLS in all
    sock_connect_timeout: Duration = Duration(15)  # one address of the receiver
    reply_timeout: Duration = Duration(60)  # silence after a request was sent whole
    progress_timeout: Duration = Duration(45)  # silence while a body is being sent
    user_timeout: Duration = Duration(40)  # TCP_USER_TIMEOUT: sent bytes may stay unacknowledged for so long
    keepalive: Duration = Duration(20)  # TCP keep-alive probes after so much silence
    idle_timeout: Duration = Duration(30)  # an unused connection is kept open for so long

    slice_min: Size = Size(256 * 1024)  # a request carries at least this much of a file
    slice_max: Size = Size(64 * 1024 * 1024)  # and at most this much

    def __post_init__(self) -> None:
        """Refuse combinations that can't work."""
        _require_address("url", self.url)
        if self.page:
            _require_address("page", self.page)
        if self.key is not None and self.bearer is not None:
            raise ValueError("bearer: is for foreign tus servers and `key` for edged's receiver; give one of the two")
        if (self.key is None) != (not self.device):
            raise ValueError("device: `device` and `key` go together; `edged receive device add NAME` prints the key")
        if self.readback and self.key is not None:
            raise ValueError("readback: is for foreign tus servers; edged's receiver signs a receipt")
        if self.device and not is_device_name(self.device):
            raise ValueError(f"device: {self.device!r} is no device's name; use letters, digits, . _ and -")
        if not 0 < self.slice_min <= self.slice_max:
            raise ValueError("slice_min: is larger than slice_max, or nothing")
        _longer_than_nothing(self, *(name for name in self.__slots__ if name.endswith(("_timeout", "keepalive"))))


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderSettings:
    """An extra copy of every clip in a folder: a USB disk or a network share."""

    path: Path
    require_mount: bool = True  # refuse while nothing is mounted there, instead of filling the system's disk
    timeout: Duration = Duration(60)  # a share that does not answer for so long hangs

    def __post_init__(self) -> None:
        """Refuse a path that depends on where edged was started, and a limit that nothing could keep."""
        if not self.path.is_absolute():
            raise ValueError(f"path: {str(self.path)!r} must begin with /")
        _longer_than_nothing(self, "timeout")


@dataclass(frozen=True, kw_only=True, slots=True)
class Hours:
    """A rate for a time of the week; "0kbit/s" stops uploads then."""

    when: str
    rate: Rate

    def __post_init__(self) -> None:
        """Refuse a time that can't be read."""
        try:
            parse_span(self.when)
        except ValueError as error:
            raise ValueError(f"when: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class GateSettings:
    """When a destination counts as down, and how it is tried again."""

    failures: int = 5  # in a row
    pause: Duration = Duration(60)
    successes: int = 2  # in a row, until it counts as up again
    credentials_pause: Duration = Duration(1800)  # after a refused key or password

    def __post_init__(self) -> None:
        """Refuse figures that would never close or open a gate."""
        for name in ("failures", "successes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be 1 or more")
        _longer_than_nothing(self, "pause", "credentials_pause")


@dataclass(frozen=True, kw_only=True, slots=True)
class BackoffSettings:
    """How long a delivery waits after a refusal: doubling from `first` to `cap`, with jitter; and when it ends.

    With these figures `budget` is five days: the least for which a mail must be tried (RFC 5321 4.5.4.1), and no peer
    that is out of order over a weekend costs a delivery.
    """

    first: Duration = Duration(5)
    cap: Duration = Duration(900)
    budget: int = 960  # refusals without progress, then a person has to look
    copies: int = 12  # of a mail whose answer never came: each may be a duplicate in somebody's inbox

    def __post_init__(self) -> None:
        """Refuse figures that contradict each other."""
        for name in ("budget", "copies"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be 1 or more")
        if self.first <= 0 or self.first > self.cap:
            raise ValueError("first: must be more than nothing and no more than `cap`")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeSettings:
    """How the line to the receiver is watched; uploads under way are evidence enough and spare the probe."""

    waiting: Duration = Duration(5)  # first wait while work waits for the line; doubles up to `waiting_cap`
    waiting_cap: Duration = Duration(60)
    idle: Duration = Duration(300)  # nothing waits
    metered: Duration = Duration(3600)  # nothing waits and every byte costs
    timeout: Duration = Duration(15)
    failures: int = 2  # in a row, until the line counts as down
    settled: Duration = Duration(10)  # a line that fell sooner than this must prove itself twice

    def __post_init__(self) -> None:
        """Refuse figures that contradict each other."""
        if self.failures < 1:
            raise ValueError("failures: must be 1 or more")
        if not 0 < self.waiting <= self.waiting_cap:
            raise ValueError("waiting: must be more than nothing and no more than `waiting_cap`")
        _longer_than_nothing(self, "idle", "metered", "timeout")


@dataclass(frozen=True, kw_only=True, slots=True)
class PushSettings:
    """How the line is used."""

    upload: Literal["auto", "manual"] = "auto"  # manual: clips wait until a person releases them
    rate: Rate | None = None  # no limit when not set
    timetable: tuple[Hours, ...] = ()  # the first entry that holds the time decides, else `rate`
    metered: bool = False  # every byte costs: probe next to never
    parallel: int = 2  # uploads at the same time
    heartbeat: Duration = Duration(300)
    gate: GateSettings = field(default_factory=GateSettings)
    backoff: BackoffSettings = field(default_factory=BackoffSettings)
    probe: ProbeSettings = field(default_factory=ProbeSettings)

    def __post_init__(self) -> None:
        """Refuse figures that would stop all uploads."""
        if self.parallel < 1:
            raise ValueError("parallel: must be 1 or more")
        _longer_than_nothing(self, "heartbeat")
        if self.rate is not None and self.rate <= 0:
            raise ValueError('rate: must be more than nothing; leave it out for no limit, upload = "manual" for none')


def _longer_than_nothing(section: object, *names: str) -> None:
    for name in names:
        if getattr(section, name) <= 0:
            raise ValueError(f"{name}: must be longer than nothing")


def _require_address(name: str, address: str) -> None:
    if not address.startswith(_SCHEMES):
        raise ValueError(f"{name}: {address!r} must start with http:// or https://")
    parts = urlsplit(address)
    if parts.username is not None:
        raise ValueError(f"{name}: must not contain a user or password; `key` or `bearer` name where the secret is")
    if not parts.hostname:
        raise ValueError(f"{name}: {address!r} names no host")
