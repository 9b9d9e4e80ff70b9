"""edged on the Raspberry Pi's processor, emulated: the wheels for aarch64, on a Debian for arm64.

The emulator has threads of its own, and so the kernel refuses its programs what only a single thread may do: enter a
user namespace. PrivateUsers= is switched off here, and here alone; seccomp filters are ignored by the emulator.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.container import everyday, lab
from tests.container.emulation import emulated

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(3600)  # the first time a Debian is made, and the wheels are fetched

# A start takes long on a busy machine; what the watchdog does is tested where nothing is emulated. The processor is a
# Pi 3's: a wheel that takes a younger one's instructions would end with SIGILL.
_EMULATED = """
[Service]
Environment=QEMU_CPU=cortex-a53
PrivateUsers=no
TimeoutStartSec=10min
WatchdogSec=10min
"""
_UNITS = ("edged.service", "edged-receiver.service")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lab.Box]:
    """A Debian for arm64 where ./scripts/install was run."""
    folder = tmp_path_factory.mktemp("drop-in")
    (folder / "emulated.conf").write_text(_EMULATED, encoding="ascii")
    binds = [f"{folder}:/etc/systemd/system/{unit}.d:ro" for unit in _UNITS]
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(emulated("arm64"))
        except lab.UnavailableError as error:
            pytest.skip(f"no arm64 here: {error}")
        yield stack.enter_context(lab.boot(lab.installed(arch="arm64"), binds=binds))


def test_an_incident_is_recorded_and_proven(box: lab.Box) -> None:
    """Installed, started, READY, an incident of footage in its whole length at the receiver, and an ordered stop."""
    assert box.run("uname", "-m").stdout == "aarch64\n"
    everyday.start(box)
    assert box.unit("edged", "ActiveState") == "active"
    assert "QEMU_CPU=cortex-a53" in box.read(f"/proc/{box.unit('edged', 'MainPID')}/environ")
    assert everyday.proven_seconds(box) > 10.0
    everyday.stop(box)


def test_picamera2_finds_a_simplejpeg_that_fits(box: lab.Box) -> None:
    """Its own was built for another numpy, at least on bookworm; the release brings one that works with ours."""
    script = "import numpy, simplejpeg; print(simplejpeg.encode_jpeg(numpy.zeros((16, 16, 3), 'uint8'))[:2].hex())"
    assert box.run("/opt/edged/current/bin/python", "-I", "-c", script).stdout == "ffd8\n"
