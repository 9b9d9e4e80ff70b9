"""Things: what belongs together, and what is seen again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edged.detect.things import Thing, Things

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (18, 32)
SMALLEST = 0.004  # 2.3 cells


def cells(*boxes: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Return a grid with the boxes (row, column, rows, columns) set."""
    grid = np.zeros(SHAPE, dtype=bool)
    for row, column, rows, columns in boxes:
        grid[row : row + rows, column : column + columns] = True
    return grid


def follow(*pictures: NDArray[np.bool_], interval: float = 0.125) -> list[tuple[Thing, ...]]:
    """Follow the things through pictures that come every `interval` seconds."""
    things = Things()
    return [things.follow(picture, number * interval, SMALLEST) for number, picture in enumerate(pictures)]


def test_a_thing_counts_from_its_second_sighting() -> None:
    """A flash is no thing; what is there again a moment later is."""
    assert [len(found) for found in follow(cells((5, 5, 3, 2)), cells((5, 6, 3, 2)), cells((5, 8, 3, 2)))] == [0, 1, 1]


def test_what_jumps_about_is_no_thing() -> None:
    """Drops and insects show once here and once there."""
    assert [len(found) for found in follow(cells((1, 1, 2, 2)), cells((12, 20, 2, 2)), cells((4, 28, 2, 2)))] == [
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("interval", [0.1, 0.125, 0.2, 0.5, 1.0])
def test_the_frame_before_is_remembered_at_any_rate(interval: float) -> None:
    """At one picture a second a thing is still seen again."""
    assert len(follow(cells((5, 5, 3, 2)), cells((5, 6, 3, 2)), interval=interval)[1]) == 1


def test_a_thing_may_fail_to_show_once() -> None:
    """A picture without it does not make it a new one."""
    assert len(follow(cells((5, 5, 3, 2)), cells(), cells((5, 6, 3, 2)))[2]) == 1


def test_what_comes_back_late_is_new() -> None:
    """A second drop at the same place, much later, is again seen once."""
    pictures = [cells((5, 5, 3, 2)), *[cells()] * 8, cells((5, 5, 3, 2))]
    assert follow(*pictures)[-1] == ()


def test_too_small_is_nothing() -> None:
    """Two cells are less than the smallest."""
    assert follow(*[cells((5, 5, 1, 2))] * 3)[-1] == ()


def test_parts_close_by_are_one_thing_and_others_are_not() -> None:
    """Legs and trunk belong together, two people do not."""
    both = cells((2, 4, 3, 2), (6, 4, 2, 2), (5, 20, 3, 3))
    found = follow(both, both)[1]
    assert sorted((thing.x, thing.y, thing.w, thing.h) for thing in found) == [
        (4 / 32, 2 / 18, 2 / 32, 6 / 18),
        (20 / 32, 5 / 18, 3 / 32, 3 / 18),
    ]
    assert sorted(thing.area for thing in found) == [9 / 576, 10 / 576]
