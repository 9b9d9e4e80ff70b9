"""What every test may ask for, and CI's rule that no test is skipped."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.simloop import run_simulated

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from tests.simloop import Simulate


# A crowded machine is no failure, so there are no timed verdicts; CI tries the same examples each time.
settings.register_profile(
    "edged",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("edged")


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """An empty directory of mode 0700, as systemd's StateDirectory= gives one."""
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def free_port() -> int:
    """A TCP port on loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def simulate() -> Simulate:
    """Run a scene in virtual time: `simulate(scene)`, where `scene(clock)` is a coroutine function."""
    return run_simulated


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Have what a command sets up of the log in this process end with its test: its stream is closed then."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Hold each test's report to CI's rule."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Hold modules that skip themselves while they are collected to CI's rule."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where CI runs: a test that did not run has shown nothing."""
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {report.longrepr}"
