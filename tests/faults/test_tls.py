"""The receiver behind TLS: certificates that must not be trusted, and a box whose clock is not set."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from edged.base.clock import SystemClock
from edged.base.errors import NoAnswerError
from edged.push.trust import RELEASED
from edged.wire.receipt import Proof
from tests.faults.network import open_field
from tests.push.conftest import make_job

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simloop import SimClock, Simulate

_NOW = datetime.fromtimestamp(SystemClock().wall(), UTC)  # TLS itself looks at the machine's clock, not at a test's
_SOON, _YEAR = timedelta(days=1), timedelta(days=365)
_RELEASE = datetime.fromtimestamp(RELEASED, UTC)
_GOOD: dict[str, Any] = {"not_before": _NOW - _SOON, "not_after": _NOW + _YEAR}
_FUTURE: dict[str, Any] = {"not_before": _NOW + _SOON, "not_after": _NOW + _YEAR}
_OVER: dict[str, Any] = {"not_before": _NOW - _YEAR, "not_after": _NOW - _SOON}
_LONG_OVER: dict[str, Any] = {"not_before": _RELEASE - _YEAR, "not_after": _RELEASE - _SOON}
_WOKEN = 17.0  # Unix seconds that a box without a battery wakes with


async def _deliver(folder: Path, clock: SimClock, name: str, dates: dict[str, Any], **how: Any) -> Proof:
    """Deliver a file to a receiver whose certificate is for `name` and has `dates`; return its proof."""
    authority = trustme.CA()
    how.pop("authority", authority).cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert(name, **dates)
    async with open_field(folder, clock, tls=certificate, ca=folder / "ca.pem", **how) as place:
        receipt = await place.target.deliver(make_job(folder, b"clip" * 1000).errand())
        return receipt.proof


def test_a_private_authority_is_trusted_where_it_is_named(simulate: Simulate, tmp_path: Path) -> None:
    """With the authority's file in `ca` and a certificate that is in order the file goes up."""

    async def scene(clock: SimClock) -> None:
        assert await _deliver(tmp_path, clock, "127.0.0.1", _GOOD) is Proof.SIGNED

    simulate(scene)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bad:
    """A certificate that must not be trusted, by a clock that shows `wall` (None: the right time), and what is said."""

    says: str
    name: str = "127.0.0.1"
    dates: dict[str, Any] = field(default_factory=lambda: _GOOD)
    how: dict[str, Any] = field(default_factory=dict)
    wall: float | None = None


_BAD = {
    "expired": Bad(dates=_OVER, says="has expired"),
    "not yet valid": Bad(dates=_FUTURE, says="is not valid yet"),
    "wrong name": Bad(name="example.org", says="is for another"),
    "unknown authority": Bad(how={"authority": trustme.CA()}, says="is of an unknown authority"),
    "a token in 1970": Bad(
        dates=_FUTURE, how={"foreign": True}, wall=_WOKEN, says="clock not set .it shows 1970-01-01.; this heals"
    ),
    "expired by any clock": Bad(dates=_LONG_OVER, wall=_WOKEN, says="has expired"),
    "wrong name in 1970": Bad(name="example.org", dates=_FUTURE, wall=_WOKEN, says="is for another"),
    "unknown authority in 1970": Bad(
        dates=_FUTURE, how={"authority": trustme.CA()}, wall=_WOKEN, says="is of an unknown authority"
    ),
}


@pytest.mark.parametrize("bad", _BAD.values(), ids=_BAD)
def test_a_certificate_that_is_not_in_order_gets_nothing(simulate: Simulate, tmp_path: Path, bad: Bad) -> None:
    """No byte of a file goes out, no attempt is spent, and the reason says what is wrong and what heals it."""

    async def scene(clock: SimClock) -> None:
        with pytest.raises(NoAnswerError, match=bad.says):
            await _deliver(tmp_path, clock, bad.name, bad.dates, **bad.how)

    if bad.wall is None:
        simulate(scene, wall_start=_NOW.timestamp())
    else:
        simulate(scene, wall_start=bad.wall, synced=False)


def test_a_box_from_1970_reaches_its_receiver_over_tls(simulate: Simulate, tmp_path: Path) -> None:
    """To an unset clock the certificate is not valid yet: it goes up all the same, signed with the receiver's time."""

    async def scene(clock: SimClock) -> None:
        assert await _deliver(tmp_path, clock, "127.0.0.1", _FUTURE, receiver_clock=SystemClock()) is Proof.SIGNED

    simulate(scene, wall_start=_WOKEN, synced=False)


def test_a_clock_that_is_set_meanwhile_is_heeded(simulate: Simulate, tmp_path: Path) -> None:
    """Once the clock is set, the next connection holds the certificate's dates against it again."""

    async def scene(clock: SimClock) -> None:
        assert await _deliver(tmp_path, clock, "127.0.0.1", _FUTURE, receiver_clock=SystemClock()) is Proof.SIGNED
        clock.jump_wall(_NOW.timestamp() - _WOKEN, synced=True)
        with pytest.raises(NoAnswerError, match="is not valid yet"):
            await _deliver(tmp_path, clock, "127.0.0.1", _FUTURE)

    simulate(scene, wall_start=_WOKEN, synced=False)
