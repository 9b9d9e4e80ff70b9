"""What the commands print: the outbox's and the incidents' JSON-able results as lines for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from zoneinfo import ZoneInfo

_UNITS = ("B", "kB", "MB", "GB")
_STEP = 1000


def listing(command: str, result: dict[str, Any], zone: ZoneInfo) -> str:
    """Return the lines of a command's result; times as the clocks of `zone` show them."""
    match command:
        case "outbox.list":
            return _outbox(result, zone)
        case "incidents.list":
            return table(
                ("id", "opened", "closed", "camera", "zones", "kind", "alert"),
                (_incident(row, zone) for row in result["incidents"]),
            )
        case "incidents.show":
            return _shown(result, zone)
        case _:
            return facts(result, zone)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return aligned columns under `head`, "none" without rows."""
    lines = [tuple(head), *map(tuple, rows)]
    if len(lines) == 1:
        return "none"
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def facts(result: dict[str, Any], zone: ZoneInfo) -> str:
    """Return one line for each fact."""
    width = max(map(len, result), default=0)
    return "\n".join(f"{name:<{width}}  {_value(value, zone)}" for name, value in result.items())


def size(count: int) -> str:
    """Return bytes for people: "1.4 MB"."""
    value, unit = float(count), _UNITS[0]
    for unit in _UNITS:
        if value < _STEP or unit == _UNITS[-1]:
            break
        value /= _STEP
    return f"{value:.0f} {unit}" if unit == _UNITS[0] else f"{value:.1f} {unit}"


def _outbox(result: dict[str, Any], zone: ZoneInfo) -> str:
    rows = (
        (
            str(row["id"]),
            row["kind"],
            row["destination"],
            row["state"] if row["proof"] is None else f"{row['state']} ({row['proof']})",
            size(row["size"]),
            str(row["attempts"]),
            _time(row["created"], zone),
            row["incident"] or row["subject"],
            row["last_error"][:60],
        )
        for row in result["deliveries"]
    )
    head = ("id", "kind", "destination", "state", "size", "tries", "since", "of", "last error")
    counts = ", ".join(f"{number} {name}" for name, number in result["counts"].items() if number)
    backlog = result["backlog"]
    waiting = f"{backlog['count']} to deliver, {size(backlog['bytes'])}"
    return f"{table(head, rows)}\n\n{waiting}; {counts or 'nothing delivered yet'}"


def _incident(row: dict[str, Any], zone: ZoneInfo) -> tuple[str, ...]:
    return (
        row["id"],
        _time(row["opened"], zone),
        _time(row["closed"], zone) if row["closed"] else "goes on",
        row["camera"],
        ", ".join(row["zones"]) or "-",
        row["kind"] + (" (recovered)" if row["recovered"] else ""),
        "yes" if row["alerting"] else f"no: {row['held']}",
    )


def _shown(result: dict[str, Any], zone: ZoneInfo) -> str:
    parts = {"clips", "snapshots", "deliveries"}
    head = facts({name: value for name, value in result.items() if name not in parts}, zone)
    clips = table(
        ("part", "start", "seconds", "size", "sha256", "path"),
        (
            (
                str(row["part"]),
                _time(row["start"], zone),
                f"{row['seconds']:.1f}",
                size(row["size"]),
                row["sha256"][:12],
                row["path"],
            )
            for row in result["clips"]
        ),
    )
    sent = table(
        ("delivery", "kind", "destination", "state", "proof", "last error"),
        (
            (
                str(row["id"]),
                row["kind"],
                row["destination"],
                row["state"],
                row["proof"] or "-",
                row["last_error"][:60],
            )
            for row in result["deliveries"]
        ),
    )
    return f"{head}\n\n{clips}\n\n{sent}"


def _value(value: Any, zone: ZoneInfo) -> str:
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, dict) and "wall" in value:
        return _time(value, zone)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _time(instant: dict[str, Any], zone: ZoneInfo) -> str:
    local = datetime.fromtimestamp(instant["wall"], UTC).astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S}" + ("" if instant["synced"] else "?")
