"""Zones and masks on a grid."""

from __future__ import annotations

import numpy as np
import pytest

from edged.detect.zones import ZoneMap, covered

SHAPE = (18, 32)
LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
TOP = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.5), (0.0, 0.5))
RIGHT = ((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0))
TRIANGLE = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))


@pytest.mark.parametrize(
    ("polygon", "share"), [(LEFT, 0.5), (TOP, 0.5), (TRIANGLE, 0.5), ((*TOP[:2], (1.0, 0.0)), 0.0)]
)
def test_a_polygon_covers_its_share_of_the_cells(polygon: tuple[tuple[float, float], ...], share: float) -> None:
    """A cell belongs to a polygon when half of it lies in it."""
    assert np.mean(covered(polygon, SHAPE)) == pytest.approx(share, abs=0.04)


def test_a_polygon_covers_the_cells_it_is_drawn_over() -> None:
    """Columns are x, rows are y."""
    assert covered(LEFT, SHAPE)[:, :16].all()
    assert not covered(LEFT, SHAPE)[:, 16:].any()
    assert covered(TOP, SHAPE)[:9].all()
    assert not covered(TOP, SHAPE)[9:].any()


def test_without_zones_the_whole_view_counts_for_no_zone() -> None:
    """Nothing is configured: everything counts, and regions carry no zone."""
    zones = ZoneMap({}, {}, SHAPE)
    assert zones.counts.all()
    assert zones.zone_of(np.ones(SHAPE, dtype=bool)) == ""


def test_masks_win_over_zones() -> None:
    """What is masked never counts, also inside of a zone."""
    zones = ZoneMap({"door": LEFT}, {"screen": TOP}, SHAPE)
    assert zones.counts[9:, :16].all()
    assert np.count_nonzero(zones.counts) == 9 * 16


def test_a_thing_is_in_the_zone_that_holds_most_of_it() -> None:
    """A thing on a border has one zone."""
    zones = ZoneMap({"door": LEFT, "gate": RIGHT}, {}, SHAPE)
    cells = np.zeros(SHAPE, dtype=bool)
    cells[5:8, 14:21] = True
    assert zones.zone_of(cells) == "gate"
    cells[5:8, 8:14] = True
    assert zones.zone_of(cells) == "door"
