"""From the outbox over the link to the receiver and to people."""
