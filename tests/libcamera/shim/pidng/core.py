"""What picamera2 imports."""


class PICAM2DNG:
    """A raw photograph."""
