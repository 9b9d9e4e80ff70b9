"""The protocol between device and receiver, once for both sides, without I/O."""
