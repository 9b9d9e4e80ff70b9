"""Cameras: encoded packets and small luma frames from one source and one clock, with recovery."""
