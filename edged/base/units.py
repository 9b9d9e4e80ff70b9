"""Values with units, as configuration files write them: "30s", "20GB", "2Mbit/s", "10%".

A bare number is refused: 30 of what is the most common mistake in configuration files.
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z%µ/]+)\s*")

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "TiB": 1024**4,
}
_RATES = {
    "bit/s": 1 / 8,
    "kbit/s": 1000 / 8,
    "Mbit/s": 1000**2 / 8,
    "Gbit/s": 1000**3 / 8,
    **{f"{unit}/s": float(factor) for unit, factor in _BYTES.items()},
}
_LONGEST = 36_525 * 86400.0  # seconds; an instant after so long can still be written as a date
_LARGEST = float(2**62)  # fits a database's integer


class Duration(float):
    """Seconds."""

    units = _SECONDS
    example = "30s"

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Parse "500ms", "30s", "5min", "2h" or "7d"; ValueError says what is wrong."""
        value = _parse(text, cls.units, cls.example)
        if value > _LONGEST:
            raise ValueError(f"{text!r} is more than 100 years")
        return cls(value)


class Size(int):
    """Bytes."""

    units = _BYTES
    example = "20GB"

    @classmethod
    def parse(cls, text: str) -> Size:
        """Parse "64KiB", "20GB" and the like; ValueError says what is wrong."""
        return cls(round(_parse(text, cls.units, cls.example)))


class Rate(float):
    """Bytes a second."""

    units = _RATES
    example = "2Mbit/s"

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Parse "2Mbit/s", "250kB/s" and the like; ValueError says what is wrong."""
        return cls(_parse(text, cls.units, cls.example))


class Share(float):
    """A share from 0.0 to 1.0, written in percent."""

    units = {"%": 0.01}  # noqa: RUF012 -- a constant table like its siblings
    example = "10%"

    @classmethod
    def parse(cls, text: str) -> Share:
        """Parse "10%"; ValueError says what is wrong."""
        value = _parse(text, cls.units, cls.example)
        if value > 1.0:
            raise ValueError(f"{text!r} is more than 100 %")
        return cls(value)


Quantity = Duration | Size | Rate | Share
QUANTITIES: tuple[type[Duration | Size | Rate | Share], ...] = (Duration, Size, Rate, Share)


def _parse(text: str, units: dict[str, float] | dict[str, int], example: str) -> float:
    known = ", ".join(units)
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f'{text!r} is no number with a unit; write it like "{example}" (units: {known})')
    factor = units.get(match[2])
    if factor is None:
        raise ValueError(f'{match[2]!r} is not a unit here; write it like "{example}" (units: {known})')
    value = float(match[1]) * factor
    if value > _LARGEST:
        raise ValueError(f"{text!r} is larger than anything that edged can count")
    return value
