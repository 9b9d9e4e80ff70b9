"""What waits to be delivered: schema, policy, store, spool and retention. It may only delay, never lose."""
