"""A figure: what was measured, beside its baseline and its aim, for people and for machines."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLUMNS = ("figure", "value", "unit", "baseline", "ratio", "aim")


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One measured value; `baseline` is another way's value from the same run, `aim` says in words what is wanted."""

    figure: str  # "part.what", such as "detect.recall"
    value: float
    unit: str = ""
    baseline: float | None = None
    ratio: float | None = None  # value / baseline, where that says something
    aim: str = ""


def as_json(figure: Figure) -> str:
    """Return the figure as one line of JSON."""
    return json.dumps(asdict(figure))


def as_table(figures: Sequence[Figure]) -> str:
    """Return the figures as an aligned table with a header."""
    rows = [_COLUMNS, *(tuple(_cell(value) for value in asdict(figure).values()) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def machine() -> str:
    """Return what the figures were measured on: processor, cores, system and Python."""
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith(("model name", "Model"))]
    processor = names[-1] if names else platform.machine()
    cores = sum(line.startswith("processor") for line in _cpuinfo())
    python = platform.python_version()
    return f"{processor}, {cores} cores, {platform.machine()}, Linux {platform.release()}, Python {python}"


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.4g}"


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
