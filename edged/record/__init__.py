"""From packets to crash-safe clips and snapshots."""
