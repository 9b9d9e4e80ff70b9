"""Names made safe for a single line: of a header, a subject, a page."""

from __future__ import annotations

import unicodedata

# Bidirectional overrides would let a name turn the rest of a line around.
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNSEEN = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})


def one_line(text: str, limit: int = 120) -> str:
    """Return `text` without line breaks, control characters and lone surrogates, at most `limit` characters long."""
    kept = "".join(" " if unicodedata.category(c) in _UNSEEN else c for c in text if c not in _TURNING)
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def listed(names: tuple[str, ...], limit: int = 3) -> str:
    """Return "yard, gate and 2 more": at most `limit` names in full."""
    shown = ", ".join(one_line(name, 40) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown


def plural(count: int, one: str, many: str = "") -> str:
    """Return "1 alert" or "3 alerts"."""
    return f"{count} {one if count == 1 else many or one + 's'}"
