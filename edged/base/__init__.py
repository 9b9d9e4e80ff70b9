"""What every part stands on: time, errors, configuration, the database, logs, retry, gates and pulses."""
