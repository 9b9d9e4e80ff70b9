"""edged: the daemon that makes a cheap camera at the end of a bad connection trustworthy."""

__version__ = "0.1.0"
