"""One message out: rendering and sending, no queue."""
