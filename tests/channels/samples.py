"""Contents, clocks and pictures for the tests of mail."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edged.base.clock import Stamp
from edged.channels.content import Alert, AlertContent, Cause, Digest, Letterhead, Notice, Sighting, Summary

NOON = 1_795_352_551.0  # Sunday 22 November 2026, 13:02:31 UTC


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedClock:
    """A clock that stands still."""

    now: float = NOON
    trusted: bool = True

    def wall(self) -> float:
        """Return the Unix time it stands at."""
        return self.now

    def mono(self) -> float:
        """Return the monotonic time it stands at."""
        return 100.0

    def boot(self) -> str:
        """Return the boot's name."""
        return "boot"

    def synced(self) -> bool:
        """Return whether it is trusted."""
        return self.trusted


def stamp(wall: float = NOON, *, synced: bool = True) -> Stamp:
    """Return an instant."""
    return Stamp(wall=wall, mono=100.0, boot="boot", synced=synced)


def picture(width: int = 1280, height: int = 720) -> bytes:
    """Return a JPEG that looks a little like a yard."""
    rows = np.linspace(90, 200, height, dtype=np.uint8)[:, None, None]
    image = np.broadcast_to(rows, (height, width, 3)).copy()
    cv2.rectangle(image, (width // 8, height // 3), (width // 2, height), (70, 90, 110), -1)
    cv2.circle(image, (width * 2 // 3, height // 2), height // 8, (40, 60, 200), -1)
    done, data = cv2.imencode(".jpg", image)
    assert done
    return data.tobytes()


LETTERHEAD = Letterhead(device="shop-1", site="Harbour shop", timezone="Europe/Paris", written=stamp())
LINK = "https://watch.example.org/i/shop-1/" + "ab" * 16 + "?until=1798000000&signature=" + "cd" * 32


def sighting(
    camera: str = "Front door",
    zones: tuple[str, ...] = ("yard",),
    *,
    opened: Stamp | None = None,
    shown: bytes | None = None,
    number: int = 0,
) -> Sighting:
    """Return an incident as a mail shows it."""
    return Sighting(
        incident=f"{number:032x}", camera=camera, zones=zones, opened=opened or stamp(), link=LINK, picture=shown
    )


def contents(shown: bytes | None = None) -> dict[str, AlertContent]:
    """Return one content of each kind, by name."""
    outage = tuple(
        sighting(
            camera,
            (zone,) if zone else (),
            opened=stamp(NOON - 86_400 + 1000 * n),
            number=n,
            shown=shown if n < 2 else None,
        )
        for n, (camera, zone) in enumerate(
            (("Front door", "yard"), ("Store room", ""), ("Back gate by the long fence", "delivery area"), ("Till", ""))
        )
    )
    return {
        "alert": Alert(sighting=sighting(shown=shown)),
        "summary": Summary(count=3, since=stamp(NOON - 50), cause=Cause.COOLDOWN, camera="Front door", link=LINK),
        "cap": Summary(count=12, since=stamp(NOON - 1800), cause=Cause.CAP),
        "digest": Digest(
            entries=(*outage, Summary(count=2, since=stamp(NOON - 81_000), cause=Cause.COOLDOWN, camera="Till"))
        ),
        "recovered": Summary(count=5, since=stamp(NOON - 90_000), cause=Cause.RECOVERED),
        "system": Notice(
            title="Camera Front door gives no pictures",
            text="No frame has arrived for 12 s. edged keeps trying to reopen it.\n\nRecording of the others goes on.",
            at=stamp(1200.0, synced=False),
        ),
        "good": Notice(title="Camera Front door is back", text="It was away for 4 minutes.", at=stamp(), good=True),
        "test": Notice(title="Test mail", text="Mail from this device arrives.", at=stamp(), test=True, link=LINK),
    }
