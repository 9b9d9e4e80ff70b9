"""GET /metrics: the board in Prometheus's text format, made anew for each scrape from one look at the board."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from edged.base.gate import GateState
from edged.model import LinkState
from edged.supervise.health import Level, level_of
from edged.supervise.supervisor import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from edged.supervise.board import CameraView, Queue, View
    from edged.supervise.health import Report

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SENSOR = (
    ("camera_lux", "How bright the sensor finds the scene.", "lux"),
    ("camera_exposure_seconds", "Exposure time.", "exposure"),
    ("camera_gain", "Analogue gain, 1 for none.", "gain"),
    ("camera_temperature_celsius", "Temperature of the sensor.", "temperature"),
)


def exposition(view: View, queue: Queue | None, report: Report) -> bytes:
    """Return the metrics as text; without `queue` (the database did not answer) the outbox's are left out."""
    registry = CollectorRegistry()
    registry.register(_Look([*_whole(view, report), *_cameras(view.cameras), *_queue(queue), *_way_out(view)]))
    return generate_latest(registry)


class _Look(Collector):
    """Metric families that were made before the scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"edged_{name}", text, value=value)


def _labelled(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"edged_{name}", text, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family


def _counted(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"edged_{name}", text, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family


def _whole(view: View, report: Report) -> Iterator[Metric]:
    about = {"version": view.version, "device": view.device}
    yield InfoMetricFamily("edged_build", "Which edged this is.", value=about)
    parts = {name: float(level_of(findings)) for name, findings in report.parts.items()}
    yield _labelled("health_level", "Per part: 0 is ok, 1 degraded, 2 failing.", "part", parts.items())
    yield _gauge("healthy", "1 unless edged is failing, as /health says.", float(report.level < Level.FAILING))
    yield _gauge("uptime_seconds", "Time since edged started.", view.uptime)
    yield _gauge("clock_synchronised", "1 when the wall time is trusted.", float(view.synced))
    yield _gauge("loop_lag_p99_seconds", "Lag of the event loop that 99 % of samples stay under.", view.lag_p99)
    yield _gauge("memory_bytes", "Resident memory of the process.", view.rss)
    yield CounterMetricFamily("edged_log_dropped", "Events that the journal did not take.", value=view.log_dropped)
    yield CounterMetricFamily("edged_cpu_seconds", "CPU time that the process has used.", value=view.cpu_seconds)
    if view.firmware is not None:
        yield _gauge("undervoltage", "1 while the supply's voltage is too low.", float(view.firmware.undervoltage))
        yield _gauge("throttled", "1 while the processor is slowed down.", float(view.firmware.throttled))
        if view.firmware.temperature is not None:
            yield _gauge("processor_temperature_celsius", "Temperature of the processor.", view.firmware.temperature)
    up = ((task.name, float(task.status is Status.RUNNING)) for task in view.tasks)
    yield _labelled("task_running", "1 while the task runs as it should.", "task", up)
    restarts = ((task.name, float(task.restarts)) for task in view.tasks)
    yield _counted("task_restarts", "Restarts of the task.", "task", restarts)


def _cameras(cameras: tuple[CameraView, ...]) -> Iterator[Metric]:
    delivering = ((c.name, float(c.health is not None and c.health.delivering)) for c in cameras)
    yield _labelled("camera_delivering", "1 while the camera gives pictures.", "camera", delivering)
    seeing = ((c.name, float(c.health is not None and not c.health.signs)) for c in cameras)
    yield _labelled(
        "camera_seeing", "1 while its pictures show something: not dark, covered or moved.", "camera", seeing
    )
    ages = ((c.name, c.picture_age) for c in cameras if c.picture_age is not None)
    yield _labelled("camera_picture_age_seconds", "Age of the newest picture.", "camera", ages)
    rungs = ((c.name, float(c.health.rung)) for c in cameras if c.health is not None)
    yield _labelled("camera_recovery_step", "Step on the recovery ladder, 0 for none.", "camera", rungs)
    incidents = ((c.name, float(c.incident is not None)) for c in cameras)
    yield _labelled("camera_incident_open", "1 while an incident is being recorded.", "camera", incidents)
    armed = ((c.name, float(c.armed)) for c in cameras)
    yield _labelled("camera_armed", "1 while incidents raise alerts.", "camera", armed)
    costs = ((c.name, c.analysis_ms / 1000) for c in cameras)
    yield _labelled("camera_analysis_seconds", "CPU time per analysed picture.", "camera", costs)
    for name, text, attribute in _SENSOR:
        told = ((c.name, getattr(c.sensor, attribute)) for c in cameras if c.sensor is not None)
        known = [(camera, float(value)) for camera, value in told if value is not None]
        if known:
            yield _labelled(name, text, "camera", known)
    frames = ((c.name, float(c.frames)) for c in cameras)
    yield _counted("camera_frames", "Pictures analysed.", "camera", frames)
    dropped = ((c.name, float(c.dropped)) for c in cameras)
    yield _counted("camera_dropped_frames", "Pictures that came faster than they could be analysed.", "camera", dropped)


def _queue(queue: Queue | None) -> Iterator[Metric]:
    if queue is None:
        return
    states = ("waiting", "held", "sent", "proven", "dead")
    by_state = ((state, float(getattr(queue, state))) for state in states)
    yield _labelled("deliveries", "Deliveries by state; sent is accepted without proof.", "state", by_state)
    yield _gauge("deleted_files", "Files that were removed from this device.", queue.deleted)
    yield _gauge("losses", "Entries in the loss ledger.", queue.losses)
    yield _gauge("backlog_bytes", "Bytes that wait to be sent.", queue.backlog_bytes)
    yield _gauge("backlog_oldest_age_seconds", "Age of the oldest unsent thing, 0: none.", queue.oldest_age or 0.0)
    if queue.drain_seconds is not None:
        yield _gauge("backlog_drain_seconds", "Time to send the backlog at the measured rate.", queue.drain_seconds)


def _way_out(view: View) -> Iterator[Metric]:
    if view.link is not None:
        now = view.link.state
        states = ((state.value, float(state is now)) for state in LinkState)
        yield _labelled("link_state", "1 for the state that the line is in.", "state", states)
        yield _gauge("link_round_trip_seconds", "Measured round trip, 0 when unknown.", view.link.rtt)
        yield _gauge("link_rate_bytes_per_second", "Measured rate, 0 when unknown.", view.link.rate)
    gates = ((gate.destination, float(gate.state == GateState.UP)) for gate in view.gates)
    yield _labelled("destination_up", "1 while the destination takes deliveries.", "destination", gates)
    yield _gauge("transfers", "Transfers under way.", len(view.transfers))
    yield CounterMetricFamily("edged_sent_bytes", "Bytes sent to destinations.", value=view.bytes_sent)
    yield CounterMetricFamily("edged_wasted_bytes", "Payload bytes that were sent again.", value=view.bytes_wasted)
    if view.disk is not None:
        yield _gauge("disk_total_bytes", "Size of the disk with the clips.", view.disk.total)
        yield _gauge("disk_free_bytes", "Free space on it.", view.disk.free)
        yield _gauge("disk_used_bytes", "What edged's files take.", view.disk.used_by_edged)
        yield _gauge("disk_quota_bytes", "What they may take, 0 for no quota.", view.disk.quota)
