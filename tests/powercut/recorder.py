"""What a program does to a directory, as the kernel sees it: a run under strace, read as a list of operations.

SQLite's calls are among them, which no hook in Python would see. What the program says (its lines on stdout and stderr)
stands between the operations, so that a promise has its exact place. Memory mappings are not seen: SQLite's -shm file
is the only one, and it needs no durability.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_HOME = Path(__file__).parents[2]  # from where the programs are modules
ROOT = 0  # the node of the recorded directory itself

_CALLS = (
    "open openat creat close dup dup2 dup3 lseek write pwrite64 writev pwritev pwritev2 ftruncate truncate fallocate"
    " fsync fdatasync rename renameat renameat2 unlink unlinkat mkdir mkdirat rmdir link linkat"
)
_LONGEST = 16_000_000  # bytes of one write that strace shows whole
_LINE = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>)?(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\) += (-?\d+)(?: .*)?$", re.DOTALL)
_ARGUMENT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?|([^,"\[\]{}]+|\[[^\]]*\])')
_STDOUT, _STDERR = 1, 2

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="recording a program needs strace")


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """Bytes into a file, not yet durable."""

    node: int
    at: int
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Resize:
    """A file's new length."""

    node: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sync:
    """A file or directory made durable, as it was after the first `upto` operations."""

    node: int
    upto: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """Names set (to a node) or removed (None) in a directory, all at once."""

    directory: int
    entries: dict[str, int | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """The program wrote `text` to stdout or stderr."""

    text: str


Operation = Write | Resize | Sync | Names | Said


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """What a program did, in order. Of the nodes in the operations, `directories` are directories."""

    operations: tuple[Operation, ...]
    directories: frozenset[int]
    found: int  # operations at the beginning that lay what was there before


def record(arguments: Sequence[str], root: Path, *, limit: float = 50.0) -> Recording:
    """Run Python with `arguments`; return what it did to `root`, an existing directory. AssertionError if it fails.

    What lies in `root` before is taken as durable: the first operations lay it there.
    """
    reader = _Reader(root)
    reader.find(root)
    trace = root.with_name(f"{root.name}.strace")
    command = ["strace", "-f", "-qq", "--seccomp-bpf", "-xx", "-s", str(_LONGEST), "-o", str(trace)]
    command += ["-e", f"trace={','.join(_CALLS.split())}", "-e", "signal=none", sys.executable, *arguments]
    # a Python that writes no byte code leaves fewer calls to read
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, check=False, timeout=limit, env=environment, cwd=_HOME)
    try:
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        with trace.open() as lines:
            for call in _calls(lines):
                reader.take(call)
    finally:
        trace.unlink()
    return Recording(operations=tuple(reader.operations), directories=frozenset(reader.directories), found=reader.found)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """One system call; `begun` tells how many calls had ended when this one began."""

    name: str
    arguments: tuple[str | bytes, ...]
    result: int
    begun: int


def _calls(lines: Iterator[str]) -> Iterator[_Call]:
    """Yield the calls in the order in which they ended; a call of one thread may be broken by those of others."""
    broken: dict[str, tuple[str, int]] = {}
    ended = 0
    for line in lines:
        found = _LINE.match(line.rstrip("\n"))
        if found is None:
            continue
        thread, resumed, text = found.groups()
        begun = ended
        if resumed:
            head, begun = broken.pop(thread, ("", ended))
            text = head + text
        if text.endswith("<unfinished ...>"):
            text = text.removesuffix("<unfinished ...>").rstrip()
            broken[thread] = (text, begun)
            if not text.startswith("close("):
                continue
            text += ") = 0"  # its number is free from now on: another thread's file may have it before this call's end
        elif resumed == "close":
            continue
        call = _CALL.match(text)
        if call is not None:
            ended += 1
            name, arguments, result = call.groups()
            yield _Call(name=name, arguments=tuple(_arguments(arguments)), result=int(result), begun=begun)


def _arguments(text: str) -> Iterator[str | bytes]:
    for found in _ARGUMENT.finditer(text):
        quoted, cut, plain = found.groups()
        if cut:
            raise ValueError("strace cut a write short")
        if quoted is not None:
            yield bytes.fromhex(quoted.replace("\\x", ""))
        elif plain.strip():
            yield plain.strip()


@dataclass(kw_only=True, slots=True)
class _Open:
    """An open file: its node, where the next plain write goes, and whether that is always its end."""

    node: int
    at: int = 0
    append: bool = False
    reads: bool = False


class _Reader:
    """Follows names, nodes and descriptors, and writes the operations down."""

    def __init__(self, root: Path) -> None:
        self.operations: list[Operation] = []
        self.directories = {ROOT}
        self._prefix = os.fsencode(root)
        self._entries: dict[int, dict[str, int]] = defaultdict(dict)
        self._sizes: dict[int, int] = {}
        self._open: dict[int, _Open] = {}
        self._said = {_STDOUT: b"", _STDERR: b""}
        self._ends: list[int] = []  # of each call that ended: how many operations there were then
        self._nodes = 1
        self.found = 0  # operations that lay there what was there before

    def take(self, call: _Call) -> None:
        """Read one call."""
        handler: Callable[[_Call], None] | None = getattr(self, f"_on_{call.name}", None)
        if call.result >= 0:
            if handler is not None:
                handler(call)
            elif self._touches(call):
                raise ValueError(f"{call.name} is not understood")
        self._ends.append(len(self.operations))

    def find(self, place: Path, directory: int = ROOT) -> None:
        """Take in what is there."""
        for path in sorted(place.iterdir()):
            node = self._new()
            self._names(directory, {path.name: node})
            if path.is_dir():
                self.directories.add(node)
                self.find(path, node)
            else:
                self._sizes[node] = 0
                self._write(node, 0, path.read_bytes())
                self.operations.append(Sync(node=node, upto=len(self.operations)))
        self.operations.append(Sync(node=directory, upto=len(self.operations)))
        self.found = len(self.operations)

    # ---------------------------------------------------------------------------------------------- descriptors

    def _on_openat(self, call: _Call) -> None:
        self._opened(call.arguments[1], str(call.arguments[2]), call.result)

    def _on_open(self, call: _Call) -> None:
        self._opened(call.arguments[0], str(call.arguments[1]), call.result)

    def _opened(self, path: str | bytes, flags: str, descriptor: int) -> None:
        self._open.pop(descriptor, None)
        place = self._place(path)
        if place is None:
            return
        directory, name = place
        node = self._entries[directory].get(name) if name else directory
        if node is None:
            node = self._new()
            self._sizes[node] = 0
            self._names(directory, {name: node})
        elif "O_TRUNC" in flags and self._sizes.get(node):
            self._resize(node, 0)
        self._open[descriptor] = _Open(node=node, append="O_APPEND" in flags, reads="O_RDWR" in flags)

    def _on_close(self, call: _Call) -> None:
        self._open.pop(_number(call.arguments[0]), None)

    def _on_lseek(self, call: _Call) -> None:
        if (file := self._file(call)) is not None:
            file.at, file.reads = call.result, False

    # ----------------------------------------------------------------------------------------------------- data

    def _on_write(self, call: _Call) -> None:
        descriptor, data = _number(call.arguments[0]), _bytes(call.arguments[1])[: call.result]
        if descriptor in self._said and descriptor not in self._open:
            self._say(descriptor, data)
        elif (file := self._file(call)) is not None:
            if file.reads:
                raise ValueError("a plain write to a file that is read, too: its place is not known")
            at = self._sizes[file.node] if file.append else file.at
            self._write(file.node, at, data)
            file.at = at + len(data)

    def _on_pwrite64(self, call: _Call) -> None:
        if (file := self._file(call)) is not None:
            self._write(file.node, _number(call.arguments[3]), _bytes(call.arguments[1])[: call.result])

    def _on_ftruncate(self, call: _Call) -> None:
        if (file := self._file(call)) is not None:
            self._resize(file.node, _number(call.arguments[1]))

    def _on_fallocate(self, call: _Call) -> None:
        if (file := self._file(call)) is not None:
            self._resize(file.node, max(self._sizes[file.node], sum(map(_number, call.arguments[2:4]))))

    def _on_fsync(self, call: _Call) -> None:
        if (file := self._file(call)) is not None:
            upto = self._ends[call.begun - 1] if call.begun else self.found
            self.operations.append(Sync(node=file.node, upto=upto))

    _on_fdatasync = _on_fsync

    # ---------------------------------------------------------------------------------------------------- names

    def _on_mkdir(self, call: _Call) -> None:
        if (place := self._place(call.arguments[0])) is not None:
            node = self._new()
            self.directories.add(node)
            self._names(place[0], {place[1]: node})

    def _on_unlink(self, call: _Call) -> None:
        if (place := self._place(call.arguments[0])) is not None:
            self._names(place[0], {place[1]: None})

    _on_rmdir = _on_unlink

    def _on_rename(self, call: _Call) -> None:
        self._moved(call.arguments[0], call.arguments[1])

    def _on_linkat(self, call: _Call) -> None:
        self._linked(call.arguments[1], call.arguments[3])

    def _on_link(self, call: _Call) -> None:
        self._linked(call.arguments[0], call.arguments[1])

    def _linked(self, old: str | bytes, new: str | bytes) -> None:
        source, target = self._place(old), self._place(new)
        if source is not None and target is not None:
            self._names(target[0], {target[1]: self._entries[source[0]][source[1]]})

    def _moved(self, old: str | bytes, new: str | bytes) -> None:
        source, target = self._place(old), self._place(new)
        if source is None or target is None:
            return
        if source[0] != target[0]:
            raise ValueError("a rename between directories is not understood")
        self._names(source[0], {source[1]: None, target[1]: self._entries[source[0]][source[1]]})

    # -------------------------------------------------------------------------------------------------- private

    def _new(self) -> int:
        self._nodes += 1
        return self._nodes - 1

    def _place(self, path: str | bytes) -> tuple[int, str] | None:
        """Return the directory's node and the name of a path under the root; ("" names the root itself)."""
        whole = _bytes(path)
        if whole == self._prefix:
            return ROOT, ""
        if not whole.startswith(self._prefix + b"/"):
            return None
        *parents, name = os.fsdecode(whole[len(self._prefix) + 1 :]).split("/")
        directory = ROOT
        for parent in parents:
            directory = self._entries[directory][parent]
        return directory, name

    def _file(self, call: _Call) -> _Open | None:
        return self._open.get(_number(call.arguments[0]))

    def _touches(self, call: _Call) -> bool:
        paths = (argument for argument in call.arguments if isinstance(argument, bytes))
        first = call.arguments[0]
        return any(map(self._place, paths)) or (isinstance(first, str) and first.isdigit() and int(first) in self._open)

    def _names(self, directory: int, entries: dict[str, int | None]) -> None:
        for name, node in entries.items():
            if node is None:
                self._entries[directory].pop(name, None)
            else:
                self._entries[directory][name] = node
        self.operations.append(Names(directory=directory, entries=entries))

    def _write(self, node: int, at: int, data: bytes) -> None:
        self._sizes[node] = max(self._sizes[node], at + len(data))
        self.operations.append(Write(node=node, at=at, data=data))

    def _resize(self, node: int, size: int) -> None:
        self._sizes[node] = size
        self.operations.append(Resize(node=node, size=size))

    def _say(self, descriptor: int, data: bytes) -> None:
        *lines, self._said[descriptor] = (self._said[descriptor] + data).split(b"\n")
        self.operations.extend(Said(text=line.decode(errors="replace")) for line in lines)


def _number(argument: str | bytes) -> int:
    return int(argument)


def _bytes(argument: str | bytes) -> bytes:
    if isinstance(argument, str):
        raise ValueError(f"bytes were expected, not {argument}")
    return argument
