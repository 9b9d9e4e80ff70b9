"""Retention: the oldest go first, by age or by quota, and shared content stays while somebody needs it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edged.base.clock import SystemClock
from edged.base.units import Duration, Size
from edged.receiver.retention import RetentionLoop, doomed
from edged.receiver.settings import ReceiverConfig, RetentionSettings
from edged.receiver.store import StoredFile
from tests.receiver.client import manifest_of

if TYPE_CHECKING:
    from edged.receiver.app import Serving
    from tests.receiver.client import Device


def stored(number: int, size: int = 10) -> StoredFile:
    """Return a file that arrived in second `number`."""
    return StoredFile(
        id=str(number),
        owner="shop",
        key=str(number),
        kind="clip",
        name="a.mp4",
        content_type="video/mp4",
        sha256="0" * 64,
        incident=None,
        size=size,
        part=0,
        seconds=0.0,
        start=None,
        stored=float(number),
    )


FILES = [stored(100), stored(200), stored(300)]


@pytest.mark.parametrize(
    ("age", "quota", "total", "gone"),
    [
        (None, None, 30, 0),
        (1000, None, 30, 0),
        (750, None, 30, 2),
        (1, None, 30, 3),
        (None, 30, 30, 0),
        (None, 29, 30, 1),
        (None, 10, 30, 2),
        (None, 1, 30, 3),
        (850, 15, 30, 2),
    ],
)
def test_what_must_go(age: int | None, quota: int | None, total: int, gone: int) -> None:
    """Whichever bound asks for more decides."""
    bounds = RetentionSettings(age=None if age is None else Duration(age), quota=None if quota is None else Size(quota))
    assert doomed(FILES, bounds, now=1000.0, stored=total) == FILES[:gone]


async def test_a_sweep(config: ReceiverConfig, receiver: Serving, shop: Device) -> None:
    """Files beyond the quota go, with their content, oldest first; the emptied incident says so."""
    for number, data in enumerate((b"a" * 100, b"b" * 100, b"b" * 100, b"c" * 100)):
        await shop.upload(data, manifest_of(data, key=f"k{number}", incident=f"i{number}", opened=5.0))
    world = receiver.world
    bounds = replace(config.retention, quota=Size(250))
    loop = RetentionLoop(world.store, world.uploads, bounds, SystemClock())
    while await loop.step():
        pass
    blobs = sorted(path.read_bytes()[:1] for path in (config.state / "blobs").glob("??/*"))
    assert blobs == [b"b", b"c"]
    assert await world.store.file("shop", key="k0") is None
    first, second = await world.store.incident("shop", "i0"), await world.store.incident("shop", "i1")
    assert first is not None
    assert second is not None
    assert (first.removed is not None, second.removed) == (True, None)
    listed = await world.store.incidents(owner=None, before=9e9, limit=10)
    assert sorted(incident.id for incident in listed) == ["i1", "i2", "i3"]
