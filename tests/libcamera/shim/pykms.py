"""Stands in for kms++: picamera2 names its pixel formats at import, and uses them only for a preview on a screen."""

from __future__ import annotations


class _Names:
    def __getattr__(self, name: str) -> str:
        return name


PixelFormat = _Names()
