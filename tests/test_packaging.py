"""The lock pins everything that pyproject asks for, with hashes and without an address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["device"]]
BUILD = [*PROJECT["build-system"]["requires"], *PROJECT["dependency-groups"]["build"]]
DEMO = PROJECT["dependency-groups"]["demo"]
DEV = PROJECT["dependency-groups"]["dev"]
MACHINES = ["x86_64", "aarch64"]
PYTHONS = ["3.11", "3.12", "3.13"]


def _place(machine: str, python: str) -> dict[str, str]:
    """Return what a requirement's marker is judged by on a Linux machine."""
    return {
        "sys_platform": "linux",
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.2",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }


def _pins(lock: str, machine: str, python: str) -> dict[str, str]:
    """Return name to version of what `lock` installs on a Linux machine."""
    here = _place(machine, python)
    pins: dict[str, str] = {}
    for line in (ROOT / "requirements" / lock).read_text().splitlines():
        if re.match(r"[a-z0-9]", line):
            pin = Requirement(line.rstrip("\\ "))
            if pin.marker is None or pin.marker.evaluate(here):
                (version,) = pin.specifier
                pins[canonicalize_name(pin.name)] = version.version
    return pins


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("lock", "asked"), [("runtime.txt", RUNTIME + BUILD + DEMO), ("dev.txt", RUNTIME + BUILD + DEV)]
)
def test_each_lock_satisfies_the_project(lock: str, asked: list[str], machine: str, python: str) -> None:
    """Whoever changes a dependency runs ./scripts/lock, or this names what is out of date."""
    pins = _pins(lock, machine, python)
    here = _place(machine, python)
    wanted = [want for want in map(Requirement, asked) if want.marker is None or want.marker.evaluate(here)]
    stale = [str(want) for want in wanted if not want.specifier.contains(pins.get(canonicalize_name(want.name), "0"))]
    assert stale == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", MACHINES)
def test_work_and_run_use_the_same_versions(machine: str, python: str) -> None:
    """What is tested is what is run: the runtime lock is part of the other."""
    runtime = _pins("runtime.txt", machine, python)
    assert runtime.items() <= _pins("dev.txt", machine, python).items()


def test_every_python_reads_cameras_with_the_same_pyav() -> None:
    """PyAV's arguments change from one version to the next, and the suite runs with one."""
    assert len({_pins("runtime.txt", machine, python)["av"] for machine in MACHINES for python in PYTHONS}) == 1


@pytest.mark.parametrize("lock", ["runtime.txt", "dev.txt", "libcamera.txt"])
def test_every_pin_has_hashes_and_no_address(lock: str) -> None:
    """A lock is good for any mirror, and pip refuses any other file than the one that was locked."""
    text = (ROOT / "requirements" / lock).read_text()
    blocks = re.findall(r"^[a-z0-9].*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 10
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)


def test_the_receiver_installs_without_a_camera() -> None:
    """A cloud install of the bare project brings neither OpenCV nor PyAV nor numpy."""
    names = {canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]}
    assert names.isdisjoint({"av", "numpy", "opencv-python-headless", "picamera2"})
