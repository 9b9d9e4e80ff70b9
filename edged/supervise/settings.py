"""Settings of the pages and of the supervision."""

from __future__ import annotations

from dataclasses import dataclass

from edged.base.config import Duration


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpSettings:
    """`[http]`: the health endpoint, the metrics and the status page."""

    listen: str = "127.0.0.1:8377"  # host:port; port 0 takes a free one
    # Names besides addresses and "localhost" under which a browser may ask, such as a reverse proxy's. Any other name
    # is refused while the pages are on loopback, for a foreign web page could have it point here (DNS rebinding).
    hosts: tuple[str, ...] = ()
    picture_every: Duration = Duration(1.0)  # between camera pictures on the status page

    def __post_init__(self) -> None:
        """Refuse an address that can't be listened on."""
        host, colon, port = self.listen.rpartition(":")
        if not (host and colon and port.isdigit() and int(port) < 2**16):
            raise ValueError(f'listen: {self.listen!r} is no address; write it like "127.0.0.1:8377"')
        if self.picture_every <= 0:
            raise ValueError("picture_every: must be longer than 0s")


@dataclass(frozen=True, kw_only=True, slots=True)
class SuperviseSettings:
    """`[supervise]`: when the watchdog stays unfed, and when /health complains."""

    lag: Duration = Duration(2.0)  # lag of the event loop that is no longer healthy
    camera: Duration = Duration(120.0)  # without a picture and without a recovery step
    camera_lost: Duration = Duration(60.0)  # without pictures before people are told by mail; "0s": never
    camera_blind: Duration = Duration(600.0)  # likewise dark, covered or moved
    backlog_age: Duration = Duration(86400.0)  # oldest unsent thing before /health says degraded

    def __post_init__(self) -> None:
        """Refuse limits that nothing can keep: the watchdog would never be fed, and edged start anew for ever."""
        for name in ("lag", "camera", "backlog_age"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be longer than 0s")
