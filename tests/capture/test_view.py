from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from edged.capture.analysis import shrink
from edged.capture.decoder import luma_plane
from edged.capture.scene import Scene
from edged.capture.settings import SyntheticSettings
from edged.capture.view import USUAL, ViewWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

FOOTAGE = sorted((Path(__file__).parents[1] / "data").glob("*.mp4"))
RATE = 4.0
SCENE = Scene(SyntheticSettings(), 320, 180)  # somebody walks by twice a minute, a lamp is switched once


def footage(path: Path) -> list[Picture]:
    """Return four small pictures of each second."""
    with av.open(str(path)) as container:
        return [shrink(luma_plane(picture)) for picture in list(container.decode(video=0))[::6]]


@pytest.fixture(scope="module")
def room() -> list[Picture]:
    """A room through which a man walks."""
    return footage(FOOTAGE[-1])


def look(
    watch: ViewWatch,
    room: list[Picture],
    begin: float,
    seconds: float,
    change: Callable[[Picture], Picture] = lambda it: it,
    *,
    rate: float = RATE,
) -> float:
    """Have the watch look at the room, round after round, for some time; return when that ends."""
    for number in range(round(seconds * rate)):
        watch.see(change(room[number % len(room)]), begin + number / rate)
    return begin + seconds


NOISE = np.random.default_rng(1).normal(110, 2, (8, 600, 600)).astype(np.uint8)


def noise(picture: Picture) -> Picture:
    """Return what a sensor sees through a hand or a bag: light, and its own noise."""
    height, width = picture.shape
    return np.asarray(NOISE[int(picture[0, 0]) % 8, :height, :width], dtype=np.uint8)


def dated(picture: Picture) -> Picture:
    """Return the same with the date that the camera writes into its pictures."""
    covered = noise(picture).copy()
    covered[4:16, 4:140] = picture[100:112, 4:140]
    return covered


def turned(picture: Picture) -> Picture:
    """Return what is seen of it when the camera was turned by a quarter of its view."""
    return np.roll(picture, picture.shape[1] // 4, axis=1)


def tilted(picture: Picture) -> Picture:
    """Return what is seen of it when the camera sank by a sixth of its view."""
    return np.roll(picture, picture.shape[0] // 6, axis=0)


def test_people_and_lamps_leave_the_view_what_it_is() -> None:
    """Two minutes with walkers and a lamp that is switched: never another view."""
    watch = ViewWatch()
    for number in range(480):
        watch.see(SCENE.draw(number, number / RATE), number / RATE)
        assert watch.view == USUAL


@pytest.mark.parametrize("clip", FOOTAGE, ids=lambda path: path.stem)
def test_footage_of_a_room_is_one_view(clip: Path) -> None:
    """A camera that starts in the dark, a lamp, a man who walks by: the same view over all rounds."""
    watch, pictures = ViewWatch(), footage(clip)
    for number in range(4 * len(pictures)):
        watch.see(pictures[number % len(pictures)], number / RATE)
        assert watch.view == USUAL


@pytest.mark.parametrize(("change", "flat"), [(noise, True), (dated, True), (turned, False), (tilted, False)])
def test_a_cover_and_a_turn_are_seen_within_seconds_and_so_is_their_end(
    room: list[Picture], change: Callable[[Picture], Picture], *, flat: bool
) -> None:
    """Since when is told to a few seconds, whether anything can be seen, and that all is as it was."""
    watch = ViewWatch()
    now = look(watch, room, 0.0, 60.0)
    after = look(watch, room, now, 20.0, change)
    assert watch.view.since is not None
    assert now <= watch.view.since < now + 4.0
    assert watch.view.flat is flat
    look(watch, room, after, 6.0)
    assert watch.view == USUAL


def test_another_view_is_accepted_after_an_hour_and_a_cover_never_is(room: list[Picture]) -> None:
    """Somebody meant to turn the camera; nobody means to have it look at nothing."""
    watch = ViewWatch()
    now = look(watch, room, 0.0, 60.0)
    now = look(watch, room, now, 3660.0, turned, rate=0.5)
    assert watch.view == USUAL
    now = look(watch, room, now, 30.0, turned)
    look(watch, room, now, 3700.0, noise, rate=0.5)
    assert watch.view.flat


def test_what_has_no_edges_is_not_judged(room: list[Picture]) -> None:
    """In fog there is nothing to be missed: no verdict is better than a wrong one."""
    watch = ViewWatch()
    now = look(watch, room, 0.0, 60.0, noise)
    look(watch, room, now, 30.0)
    assert watch.view == USUAL
