"""HTTP on the outside, the receiver's parts on the inside: one module for each kind of client."""
