"""What becomes of a delivery after each kind of failure, and what its destination's gate is told."""

from __future__ import annotations

from random import Random

import pytest

from edged.base.clock import Stamp
from edged.base.errors import (
    CredentialsError,
    DeliveryError,
    FileLostError,
    NoAnswerError,
    PossiblySentError,
    RefusedError,
    RejectedError,
    UploadGoneError,
)
from edged.model import Delivery, DeliveryKind, Lane, State
from edged.push.body import OutrankedError
from edged.push.line import RevivedError
from edged.push.settings import BackoffSettings, PushSettings
from edged.push.verdict import Fate, Mark, Verdict, judge

_SETTINGS = PushSettings(backoff=BackoffSettings(budget=12, copies=3))


def _delivery(attempts: int = 0, copies: int = 0) -> Delivery:
    return Delivery(
        id=1,
        key="k",
        kind=DeliveryKind.CLIP,
        lane=Lane.BULK,
        priority=5,
        destination="receiver",
        incident=None,
        subject="s",
        path=None,
        size=1,
        sha256=None,
        message=None,
        state=State.PENDING,
        attempts=attempts,
        due=0.0,
        upload_url=None,
        possibly_sent=copies,
        last_error="",
        receipt=None,
        created=Stamp(wall=0.0, mono=0.0, boot="b", synced=True),
    )


def _judge(error: DeliveryError, attempts: int = 0, silences: int = 0) -> Verdict:
    return judge(error, _delivery(attempts), silences, _SETTINGS, Random(1))


@pytest.mark.parametrize(
    ("error", "attempts", "fate", "mark"),
    [
        (NoAnswerError("x"), 0, Fate.ASIDE, Mark.FAILED),
        (NoAnswerError("x"), 11, Fate.ASIDE, Mark.FAILED),  # no answer costs no attempt, whatever was spent
        (RevivedError("x"), 11, Fate.ASIDE, Mark.NOTHING),
        (UploadGoneError("x"), 11, Fate.ASIDE, Mark.SERVED),
        (OutrankedError("x"), 11, Fate.ASIDE, Mark.NOTHING),
        (CredentialsError("x"), 11, Fate.ASIDE, Mark.CLOSED),
        (RefusedError("x", retry_after=30.0), 11, Fate.ASIDE, Mark.CLOSED),
        (RefusedError("x", retry_after=0.0), 11, Fate.ASIDE, Mark.CLOSED),
        (RefusedError("x"), 0, Fate.LATER, Mark.FAILED),
        (RefusedError("x"), 10, Fate.LATER, Mark.FAILED),
        (RefusedError("x"), 11, Fate.DEAD, Mark.FAILED),
        (PossiblySentError("x"), 0, Fate.LATER, Mark.FAILED),
        (PossiblySentError("x"), 11, Fate.DEAD, Mark.FAILED),
        (RejectedError("x"), 0, Fate.DEAD, Mark.SERVED),
        (FileLostError("x"), 0, Fate.LOST, Mark.NOTHING),
    ],
)
def test_fates(error: DeliveryError, attempts: int, fate: Fate, mark: Mark) -> None:
    """The table at the head of the module, line by line, at a fresh and at an almost spent budget of 12."""
    verdict = _judge(error, attempts)
    assert (verdict.fate, verdict.mark) == (fate, mark)
    assert verdict.possibly is isinstance(error, PossiblySentError)


@pytest.mark.parametrize(("copies", "fate"), [(1, Fate.LATER), (2, Fate.DEAD)])
def test_a_mail_without_an_answer_is_sent_only_so_often(copies: int, fate: Fate) -> None:
    """Each copy may be a duplicate in somebody's inbox, so they have a limit of their own; a plain refusal has not."""
    for error, expected in ((PossiblySentError("x"), fate), (RefusedError("x"), Fate.LATER)):
        assert judge(error, _delivery(copies, copies), 0, _SETTINGS, Random(1)).fate is expected


def test_a_refusing_peer_is_tried_for_five_days() -> None:
    """With the defaults a delivery is given up after the time that RFC 5321 asks for, not after an hour."""
    rng, settings = Random(5), PushSettings()
    waits = [judge(RefusedError("x"), _delivery(count), 0, settings, rng).wait for count in range(959)]
    assert 4.5 < sum(waits) / 86_400 < 5.5
    assert judge(RefusedError("x"), _delivery(959), 0, settings, rng).fate is Fate.DEAD


def test_a_peer_that_names_a_time_is_left_alone_for_it() -> None:
    """The gate stays closed for as long as the peer asked; for a refused key, where no time is known, half an hour."""
    assert _judge(RefusedError("x", retry_after=30.0)).pause == pytest.approx(30.0)
    assert _judge(CredentialsError("x")).pause == pytest.approx(1800.0)
    for error in (CredentialsError("x", retry_after=30.0), NoAnswerError("x", retry_after=30.0)):
        verdict = _judge(error)
        assert (verdict.fate, verdict.mark, verdict.pause) == (Fate.ASIDE, Mark.CLOSED, 30.0)


@pytest.mark.parametrize("error", [NoAnswerError("x"), RefusedError("x")], ids=["no answer", "refused"])
def test_waits_grow_and_stay_in_bounds(error: DeliveryError) -> None:
    """The longest possible wait doubles with each failure up to the cap; the shortest is half the first step."""
    rng = Random(7)
    for count in range(11):
        waits = [judge(error, _delivery(count), count, _SETTINGS, rng).wait for _ in range(300)]
        bound = min(900.0, 5.0 * 2**count)
        assert min(waits) >= 2.5
        assert max(waits) <= bound
        assert max(waits) >= 0.8 * bound
