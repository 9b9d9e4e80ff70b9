"""Whether the receiver's certificate is to be trusted, also while this device's clock is not set.

A box that woke without a battery is behind the time, never ahead of it: until its clock is set, a certificate's first
day proves nothing, and its last day is held against the latest time that is known to have been. So such a box reaches
its receiver, and learns the time there. Name and authority are always checked.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edged.base.clock import Clock

RELEASED = 1_780_272_000.0  # 2026-06-01 00:00 UTC: it was later than that when this edged was installed
_NO_CHECK_TIME = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, x509_vfy.h
_EXPIRED_FOR_CERTAIN = -10  # ours: expired by any clock
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 18, 62, 64  # X509_V_ERR_..., x509_vfy.h


class Trust:
    """Judges the receiver's certificate by the authority in the file `ca`, or by the system's.

    `patient` is for peers that get no secret from us and tell the time in return; others are judged by our own clock,
    whatever it shows.
    """

    def __init__(self, ca: Path | None, clock: Clock, *, patient: bool) -> None:
        self._ca = ca
        self._clock = clock
        self._patient = patient
        self._undated: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context for a connection now; it reads files the first time."""
        if not self._patient or self._clock.synced():
            return _dated(self._ca)
        if self._undated is None:
            self._undated = ssl.create_default_context(cafile=self._ca)
            self._undated.verify_flags |= _NO_CHECK_TIME
            self._undated.sslobject_class = _judging(self._check_end)
        return self._undated

    def words(self, error: Exception) -> str:
        """Return what is wrong with a certificate, and what heals it."""
        code, wall = getattr(error, "verify_code", 0), self._clock.wall()
        today = datetime.fromtimestamp(wall, UTC).date()
        if code in {_NOT_YET_VALID, _EXPIRED} and (wall < RELEASED or not self._clock.synced()):
            return (
                f"the receiver's certificate can't be judged: clock not set (it shows {today}); "
                "this heals by itself once the time is set, by a time server or by hand"
            )
        problem = {
            _NOT_YET_VALID: f"is not valid yet (today is {today}): the receiver's keeper must look after it",
            _EXPIRED: f"has expired (today is {today}): the receiver's keeper must renew it",
            _EXPIRED_FOR_CERTAIN: "has expired: the receiver's keeper must renew it",
            _WRONG_HOST: "is for another name: write `url` as the certificate has it",
            _WRONG_ADDRESS: "is for another address: write `url` as the certificate has it",
            _SELF_SIGNED: "is signed by itself: name it in `ca` if this is your own receiver",
        }.get(code, f"is of an unknown authority ({_told(error)}): name the authority's file in `ca`")
        return f"the receiver's certificate {problem}"

    def _check_end(self, last: float) -> None:
        if last < max(self._clock.wall(), RELEASED):
            error = ssl.SSLCertVerificationError(1, "certificate has expired")
            error.verify_code, error.verify_message = _EXPIRED_FOR_CERTAIN, "certificate has expired"
            raise error


@cache
def _dated(ca: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def _judging(check_end: Callable[[float], None]) -> type[ssl.SSLObject]:
    """Return a TLS object that ends a handshake by `check_end` of the certificate's last second (Unix)."""

    class Judging(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            certificate = self.getpeercert()
            check_end(ssl.cert_time_to_seconds(str(certificate["notAfter"])) if certificate else 0.0)

    return Judging


def _told(error: Exception) -> str:
    return getattr(error, "verify_message", "") or str(error)
