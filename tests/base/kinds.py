"""Every kind of event that the package logs, read from its source: python -m tests.base.kinds writes the table anew."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edged.base.journal import message_id

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "systemd" / "message-ids"
_LEVELS = {"debug", "info", "warning", "error", "critical"}
_HEAD = """\
# The MESSAGE_ID of each kind of event, for scripts and alarms: journalctl MESSAGE_ID=... An id stays as long as its
# event does.
"""


def logged() -> set[str]:
    """Return the phrases of all events in the package's source."""
    found = {"library", "journal dropped events"}  # of base/log itself
    for path in sorted((ROOT / "edged").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_log(node.func):
                found |= set(_phrases(node.args[0], tree))
    return found


def listed() -> dict[str, str]:
    """Return the table: an id for each phrase."""
    lines = [line.split(maxsplit=1) for line in TABLE.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    return {phrase: number for number, phrase in lines}


def _is_log(called: ast.expr) -> bool:
    """Return whether something called is a logger's method, or its choice that goes by the name `tell`."""
    if isinstance(called, ast.Attribute):
        return called.attr in _LEVELS and isinstance(called.value, ast.Name) and called.value.id == "log"
    return isinstance(called, ast.Name) and called.id == "tell"


def _phrases(first: ast.expr, tree: ast.Module) -> Iterator[str]:
    """Yield the phrases that an event's first argument may be."""
    if isinstance(first, ast.IfExp):
        yield from _phrases(first.body, tree)
        yield from _phrases(first.orelse, tree)
    elif isinstance(first, ast.Subscript):  # of a table at the head of its module
        heads = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
        yield from ast.literal_eval(heads[ast.unparse(first.value)]).values()
    elif isinstance(first, ast.Constant) and isinstance(first.value, str):
        yield first.value
    else:
        raise ValueError(f"line {first.lineno}: an event's kind is a phrase, not {ast.unparse(first)}")


def main() -> None:
    """Write the table anew; ids of events that are gone go with them."""
    lines = sorted(f"{message_id(phrase)} {phrase}" for phrase in logged())
    TABLE.write_text(_HEAD + "\n".join(sorted(lines, key=lambda line: line[33:])) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(lines)} kinds of events\n")


if __name__ == "__main__":
    main()
