"""The metrics, read back by Prometheus's own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from edged.model import LinkState, Sensor, Sign
from edged.supervise import metrics
from edged.supervise.board import GateView, Queue, View
from edged.supervise.firmware import Firmware
from edged.supervise.health import judge
from edged.supervise.settings import SuperviseSettings
from edged.supervise.supervisor import Status
from tests.supervise.samples import MB, camera, health, link, queue, task, transfer, view

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(seen: View, numbers: Queue | None) -> Samples:
    """Return every sample by name and labels."""
    text = metrics.exposition(seen, numbers, judge(seen, numbers, SuperviseSettings())).decode()
    families = list(text_string_to_metric_families(text))
    assert all(family.documentation for family in families)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def labelled(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return a sample's key."""
    return f"edged_{name}", tuple(sorted(labels.items()))


def test_what_the_board_shows_can_be_scraped() -> None:
    """Numbers of the device, its cameras, the outbox and the line come out under their names with their units."""
    ill = camera("yard", health=health(Sign.FROZEN, text="frozen", rung=3), picture_age=42.0, armed=False)
    seen = view(
        cameras=(camera(incident="a" * 32, frames=77, sensor=Sensor(lux=120.0, exposure=0.02, temperature=41.5)), ill),
        tasks=(task(), task("link", status=Status.DEGRADED, critical=False, restarts=9)),
        gates=(GateView(destination="mail:a@example.org", state="down", reason="x"),),
        link=link(LinkState.METERED),
        transfers=(transfer(),),
        bytes_wasted=7,
        firmware=Firmware(flags=0x10001, temperature=61.5),
    )
    found = scrape(
        seen, queue(waiting=5, held=1, dead=2, losses=3, backlog_bytes=MB, oldest_age=9.5, drain_seconds=60.0)
    )
    expected = {
        labelled("build_info", version="0.1.0", device="shop-1"): 1.0,
        labelled("healthy"): 1.0,
        labelled("health_level", part="cameras"): 1.0,
        labelled("health_level", part="disk"): 0.0,
        labelled("camera_delivering", camera="front"): 1.0,
        labelled("camera_delivering", camera="yard"): 0.0,
        labelled("camera_picture_age_seconds", camera="yard"): 42.0,
        labelled("camera_recovery_step", camera="yard"): 3.0,
        labelled("camera_incident_open", camera="front"): 1.0,
        labelled("camera_armed", camera="yard"): 0.0,
        labelled("camera_frames_total", camera="front"): 77.0,
        labelled("camera_lux", camera="front"): 120.0,
        labelled("camera_exposure_seconds", camera="front"): 0.02,
        labelled("camera_temperature_celsius", camera="front"): 41.5,
        labelled("camera_gain", camera="front"): None,
        labelled("camera_lux", camera="yard"): None,
        labelled("camera_dropped_frames_total", camera="front"): 2.0,
        labelled("camera_analysis_seconds", camera="front"): 0.0004,
        labelled("task_running", task="link"): 0.0,
        labelled("task_restarts_total", task="link"): 9.0,
        labelled("deliveries", state="waiting"): 5.0,
        labelled("deliveries", state="held"): 1.0,
        labelled("deliveries", state="dead"): 2.0,
        labelled("deliveries", state="proven"): 12.0,
        labelled("losses"): 3.0,
        labelled("deleted_files"): 4.0,
        labelled("backlog_bytes"): 1e6,
        labelled("backlog_oldest_age_seconds"): 9.5,
        labelled("backlog_drain_seconds"): 60.0,
        labelled("link_state", state="metered"): 1.0,
        labelled("link_state", state="up"): 0.0,
        labelled("destination_up", destination="mail:a@example.org"): 0.0,
        labelled("transfers"): 1.0,
        labelled("sent_bytes_total"): 48e6,
        labelled("wasted_bytes_total"): 7.0,
        labelled("disk_free_bytes"): 41e9,
        labelled("loop_lag_p99_seconds"): 0.0031,
        labelled("memory_bytes"): 96e6,
        labelled("log_dropped_total"): 4,
        labelled("cpu_seconds_total"): 312.5,
        labelled("undervoltage"): 1.0,
        labelled("throttled"): 0.0,
        labelled("processor_temperature_celsius"): 61.5,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_what_is_unknown_is_left_out() -> None:
    """No zero stands for a number that nobody has: a camera that never started, no line, no disk, no database."""
    seen = view(cameras=(camera(health=None, picture_age=None),), link=None, disk=None)
    found = scrape(seen, None)
    names = {name for name, _ in found}
    assert not {
        name for name in names if name.startswith(("edged_disk", "edged_link", "edged_backlog", "edged_deliver"))
    }
    assert "edged_camera_picture_age_seconds" not in names
    assert found[labelled("healthy")] == 0.0
    assert "edged_backlog_drain_seconds" not in {name for name, _ in scrape(seen, queue())}


def test_strange_names_are_escaped() -> None:
    """Quotes, line breaks and letters of any kind in a label come back as they went in."""
    odd = 'Tür "2"\\\nlinks'
    assert labelled("destination_up", destination=odd) in scrape(
        view(gates=(GateView(destination=odd, state="up", reason=""),)), queue()
    )
