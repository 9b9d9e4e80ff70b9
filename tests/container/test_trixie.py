"""edged on Debian trixie, with its Python 3.13 and its systemd 257."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.container import everyday, lab

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(900)  # the first time a Debian is made, and the wheels are fetched


@pytest.fixture(scope="module")
def box() -> Iterator[lab.Box]:
    """A trixie where ./scripts/install was run."""
    with lab.boot(lab.installed("trixie")) as box:
        box.enforce()
        yield box


def test_an_incident_is_recorded_and_proven(box: lab.Box) -> None:
    """Installed, started, READY, an incident of footage in its whole length at the receiver, and an ordered stop."""
    version = box.run("/opt/edged/current/bin/python", "--version").stdout
    assert version.startswith("Python 3.13.")
    everyday.start(box)
    assert box.unit("edged", "ActiveState") == "active"
    assert everyday.proven_seconds(box) > 10.0
    everyday.stop(box)


def test_nothing_is_said_against_the_units(box: lab.Box) -> None:
    """The younger systemd knows every key, and scores the exposure no worse than the older one."""
    for unit in ("edged.service", "edged-receiver.service"):
        verified = box.run("systemd-analyze", "verify", "--man=no", unit)
        assert verified.stderr == ""
        box.run("systemd-analyze", "security", "--threshold=15", "--no-pager", unit)
