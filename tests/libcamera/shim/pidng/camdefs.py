"""What picamera2 imports."""


class Picamera2Camera:
    """A raw photograph's camera."""
