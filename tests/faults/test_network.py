"""The line to the receiver broken at every kind of byte, by both ends' own programs, in virtual time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from edged.base.errors import NoAnswerError
from edged.wire.receipt import Proof
from tests.faults.network import open_field
from tests.middle import At, How, Spoil
from tests.push.conftest import make_job

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simloop import SimClock, Simulate

_SIZE = 700_000
_SMALL = 256 * 1024  # bytes that one cut may cost


def _cuts(how: How) -> list[tuple[str, dict[str, list[Spoil]]]]:
    """Return every place at which a line can end, in words, with what has to happen to reach it."""
    found = []
    for method in ("POST", "PATCH", "HEAD"):
        for at in At:
            if at is At.BODY and method != "PATCH":
                continue
            spoils = {method: [Spoil(at=at, how=how)]}
            if method == "HEAD":  # which is only asked after an earlier attempt
                spoils["PATCH"] = [Spoil(at=At.BODY)]
            found.append((f"{method} {how} {at}", spoils))
    return found


@pytest.mark.parametrize("foreign", [False, True], ids=["edged's own", "plain tus"])
@pytest.mark.parametrize("how", How)
def test_a_cut_at_any_kind_of_byte_loses_and_doubles_nothing(
    simulate: Simulate, tmp_path: Path, how: How, *, foreign: bool
) -> None:
    """Wherever the line ends, the attempt counts as unanswered, and the next goes on: the file is there once, whole."""

    async def scene(clock: SimClock) -> None:
        async with open_field(tmp_path, clock, foreign=foreign) as place:
            sent = []
            for words, spoils in _cuts(how):
                place.spoils = spoils
                sent.append(os.urandom(_SIZE))
                before, wasted = place.middle.upstream, place.counters.wasted
                receipt, errors = await place.insist(make_job(tmp_path, sent[-1]))
                assert not any(spoils.values()), words
                assert {type(error) for error in errors} == {NoAnswerError}, words
                assert receipt.proof is (Proof.CLAIMED if foreign else Proof.SIGNED), words
                assert place.counters.wasted - wasted < _SMALL, words
                assert place.middle.upstream - before < _SIZE + _SMALL * len(errors), words
            assert sorted(await place.held("tusker" if foreign else "shop")) == sorted(sent)

    simulate(scene)
