"""Stands in for PiDNG, which picamera2 imports for raw photographs: never taken here."""
