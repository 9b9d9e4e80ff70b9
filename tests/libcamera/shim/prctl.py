"""Stands in for python-prctl, which picamera2 imports for recording through the ffmpeg program: never done here."""
