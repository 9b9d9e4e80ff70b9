"""Settings put into a TOML file's text, so that all else in it, comments above all, stays as it is.

A line is understood by parsing it alone: what begins at a line ends where it first is valid TOML. A `#` without a blank
behind it switches a setting or a table off, as in config/edged.toml. The result is parsed and compared with what was
to come out, so a file that is written in another way is refused and never spoiled.
"""

from __future__ import annotations

import copy
import functools
import json
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edged.base.errors import EdgedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_OFF = re.compile(r"#{1,2}(?=[\w\[\"'])")
_BARE = re.compile(r"[A-Za-z0-9_-]+")

Value = str | bool | int | float | list[str] | dict[str, str]


class EditError(EdgedError):
    """The text can't be changed in place; the sentence says what to enter by hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A setting's new value, None to switch it off. `table` is the path of its table, of which `listed` is [[this]]."""

    table: tuple[str, ...]
    key: str
    value: Value | None
    listed: bool = False  # the first of an array of tables


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    """What stands on the lines from `start` up to `end`: a table's header, or a setting if `key` is set."""

    start: int
    end: int
    off: bool
    table: tuple[str, ...] = ()
    key: str = ""


def edit(text: str, changes: Sequence[Change]) -> str:
    """Return `text` with the changes; EditError where its own way of writing does not allow them."""
    text = text.replace("\r\n", "\n")
    wanted = tomllib.loads(text)
    lines = text.split("\n")
    for change in changes:
        _apply(wanted, change)
        _put(lines, change)
    result = "\n".join(lines)
    try:
        if tomllib.loads(result) == wanted:
            return result
    except tomllib.TOMLDecodeError:
        pass
    asked = [each for each in changes if each.value is not None]
    by_hand = "\n".join(f"  {_header(each)} {each.key} = {written(each.value)}" for each in asked)
    raise EditError(f"the file is written in a way that can't be changed here; enter by hand:\n{by_hand}")


def written(value: Value | None) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_name(name)} = {written(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(written(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's strings are JSON's but for that


def blank(text: str, tables: Sequence[str]) -> str:
    """Return `text` with every setting switched off, and the tables that begin with one of `tables`."""
    lines = text.split("\n")
    for entry in _entries(lines):
        if entry.off or (not entry.key and not _dotted(entry.table).startswith(tuple(tables))):
            continue
        for number in range(entry.start, entry.end):
            lines[number] = f"#{lines[number]}"
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------- the text's entries


def _entries(lines: list[str]) -> Iterator[_Entry]:
    start = 0
    while start < len(lines):
        entry = _entry(lines, start)
        if entry is not None:
            yield entry
        start = start + 1 if entry is None else entry.end


def _entry(lines: list[str], start: int) -> _Entry | None:
    off = _OFF.match(lines[start])
    if off is not None:
        return _read(lines[start][off.end() :], start, start + 1, off=True)
    if not lines[start].strip() or lines[start].lstrip().startswith("#"):
        return None
    for end in range(start + 1, len(lines) + 1):
        if entry := _read("\n".join(lines[start:end]), start, end, off=False):
            return entry
    return None


def _read(text: str, start: int, end: int, *, off: bool) -> _Entry | None:
    told = _understood(text)
    return None if told is None else _Entry(start=start, end=end, off=off, table=told[0], key=told[1])


@functools.lru_cache(maxsize=2048)  # each change looks at every line
def _understood(text: str) -> tuple[tuple[str, ...], str] | None:
    """Return the table that a header begins, or the key of a setting; None where the text is neither."""
    try:
        data: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    if not text.lstrip().startswith("["):
        return ((), next(iter(data))) if data else None
    path = []
    while data:
        ((name, data),) = data.items()
        path.append(name)
        data = data[0] if isinstance(data, list) else data
    return tuple(path), ""


# ------------------------------------------------------------------------------------------------- one change


def _put(lines: list[str], change: Change) -> None:
    start, end = _range(lines, change)
    settings = [entry for entry in _entries(lines[:end]) if entry.key and entry.start >= start]
    same = [entry for entry in settings if entry.key == change.key]
    at = min(same, key=lambda entry: entry.off, default=None)
    if change.value is None:
        if at is not None and not at.off:
            lines[at.start : at.end] = [f"#{line}" for line in lines[at.start : at.end]]
        return
    line = f"{_name(change.key)} = {written(change.value)}"
    if at is None:
        after = settings[-1].end if settings else start
        lines.insert(after, line)
    else:
        lines[at.start : at.end] = [line + _remark(lines[at.end - 1], at)]


def _range(lines: list[str], change: Change) -> tuple[int, int]:
    """Return where the table's settings stand; it is switched on, or begun, if it is not there."""
    headers = [entry for entry in _entries(lines) if not entry.key]
    same = [entry for entry in headers if entry.table == change.table]
    if not same:
        return _begin(lines, headers, change)
    header = min(same, key=lambda entry: entry.off)
    if header.off:
        lines[header.start] = _OFF.sub("", lines[header.start], count=1)
    following = [entry.start for entry in headers if entry.start > header.start]
    return header.end, min(following, default=len(lines))


def _begin(lines: list[str], headers: list[_Entry], change: Change) -> tuple[int, int]:
    """Begin the table after the last one of its kind, else at the end."""
    kin = [entry for entry in headers if entry.table[0] == change.table[0] and not entry.off]
    after = len(lines) - 1 if not lines[-1] else len(lines)
    if kin:
        following = [entry.start for entry in headers if entry.start > kin[-1].start]
        last = [e.end for e in _entries(lines) if kin[-1].start <= e.start < min(following, default=len(lines))]
        after = last[-1]
    lines[after:after] = ["", _header(change)]
    return after + 2, after + 2


def _remark(line: str, entry: _Entry) -> str:
    """Return the comment at the end of a setting of one line, "" without one."""
    if entry.off or entry.end - entry.start > 1:
        return ""
    for match in re.finditer(r"\s*#", line):
        if _read(line[: match.start()], 0, 1, off=False):
            return line[match.start() :]
    return ""


def _apply(data: dict[str, Any], change: Change) -> None:
    for name in change.table[:-1]:
        data = data.setdefault(name, {})
    last = change.table[-1]
    table = data.setdefault(last, [{}] if change.listed else {})
    if change.listed:
        table = (table or [{}])[0]
    if change.value is None:
        table.pop(change.key, None)
    else:
        table[change.key] = copy.deepcopy(change.value)


def _header(change: Change) -> str:
    return f"[[{_dotted(change.table)}]]" if change.listed else f"[{_dotted(change.table)}]"


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(map(_name, path))


def _name(key: str) -> str:
    return key if _BARE.fullmatch(key) else written(key)
