"""The units as systemd reads them: no key it does not know, and an exposure that stays low."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parent.parent.parent / "systemd"
NAMES = sorted(path.name for path in UNITS.iterdir() if path.suffix in {".path", ".service", ".timer"})
_INSTALLED = re.compile(r"/opt/edged/current/bin/\w+")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The units in a folder of their own, with a program that is there."""
    shutil.copytree(UNITS, tmp_path / "units")
    for path in (tmp_path / "units").rglob("*.*"):
        if path.is_file():
            path.write_text(_INSTALLED.sub("/bin/true", path.read_text()))
    return tmp_path / "units"


@pytest.mark.parametrize("name", NAMES)
def test_systemd_has_no_word_against_a_unit(folder: Path, name: str) -> None:
    """`systemd-analyze verify` succeeds and says nothing: it answers 0 for keys that it does not know, too."""
    done = subprocess.run(["systemd-analyze", "verify", folder / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "name", ["edged.service", "edged-act.service", "edged-ensure.service", "edged-receiver.service"]
)
def test_the_exposure_stays_low(folder: Path, name: str) -> None:
    """Systemd scores the service's exposure at 1.5 or better, without drop-ins that only some sites need."""
    shutil.rmtree(folder / f"{name}.d", ignore_errors=True)
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(folder / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("drop_in", ["edged.service.d/clock.conf", "edged.service.d/reboot.conf"])
def test_a_drop_in_fits_its_unit(folder: Path, drop_in: str) -> None:
    """A unit with its optional drop-in is still one that systemd has no word against."""
    unit = folder / Path(drop_in).parent.name.removesuffix(".d")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (folder / drop_in).exists()
    assert (done.returncode, done.stderr) == (0, "")
