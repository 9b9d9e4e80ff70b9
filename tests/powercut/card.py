"""A card after a power cut: what was synced is there, of the rest any part.

The model is weaker than ext4 and XFS are. A file's bytes are there as of its last sync; each 512-byte sector written
since, and each change of length, reached the card or did not. A directory's names are there as of its own last sync,
with the first few of the changes since; a file's sync does nothing for its name. Sectors are never torn (SQLite's
"powersafe overwrite"), and a rename is done or not done.

`ordered`, as ext4 and XFS are unless told otherwise: a file does not grow past bytes that did not reach the card. Where
that does not hold, bytes that nobody synced may read as zeros.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.powercut.recorder import ROOT, Names, Resize, Said, Sync, Write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

    from tests.powercut.recorder import Operation, Recording

_SECTOR = 512
# how likely it is that something unsynced reached the card: all lost, all there (as after a kill), or some of it
_CHANCES = (0.0, 1.0, 0.05, 0.5, 0.95)


@dataclass(kw_only=True, slots=True)
class _File:
    data: bytearray = field(default_factory=bytearray)  # as of the last sync
    since: list[tuple[int, Write | Resize]] = field(default_factory=list)  # with their numbers


@dataclass(kw_only=True, slots=True)
class _Directory:
    entries: dict[str, int] = field(default_factory=dict)
    since: list[tuple[int, Names]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A cut after so many operations: what the card holds lies in `root`, the program had `said` these lines."""

    after: int
    root: Path
    said: tuple[str, ...]
    ordered: bool


def cuts(recording: Recording, folder: Path, rng: Random, *, share: float = 1.0) -> Iterator[Cut]:
    """Yield a cut after each operation, or after a random `share` of them; its directory goes when the next is asked.

    Every other cut is of an `ordered` file system.
    """
    card, ordered, number = Card(recording), False, rng.getrandbits(32)  # a cut of what a cut has left needs its own
    for after in card.play():
        if rng.random() >= share:
            continue
        root, ordered = folder / f"cut-{number}-{after}", not ordered
        card.cut(root, rng, ordered=ordered)
        yield Cut(after=after, root=root, said=tuple(card.said), ordered=ordered)
        shutil.rmtree(root)


class Card:
    """The card while a recording is played back."""

    def __init__(self, recording: Recording) -> None:
        self._operations = recording.operations
        self._found = recording.found
        self._directories = {node: _Directory() for node in recording.directories}
        self._files: dict[int, _File] = {}
        self.said: list[str] = []  # by the program so far

    def play(self) -> Iterator[int]:
        """Do one operation after another; yields how many are done, whenever a cut may leave something new."""
        for number, operation in enumerate(self._operations):
            self._do(number, operation)
            if not isinstance(operation, Said) and number >= self._found:
                yield number + 1

    def _do(self, number: int, operation: Operation) -> None:
        if isinstance(operation, Said):
            self.said.append(operation.text)
        elif isinstance(operation, Names):
            self._directories[operation.directory].since.append((number, operation))
        elif isinstance(operation, Sync):
            self._sync(operation)
        else:
            self._file(operation.node).since.append((number, operation))

    def _sync(self, operation: Sync) -> None:
        if operation.node in self._directories:
            directory = self._directories[operation.node]
            while directory.since and directory.since[0][0] < operation.upto:
                _name(directory.entries, directory.since.pop(0)[1])
        else:
            file = self._file(operation.node)
            while file.since and file.since[0][0] < operation.upto:
                _apply(file.data, file.since.pop(0)[1])

    def cut(self, root: Path, rng: Random, *, ordered: bool = False) -> None:
        """Lay what the card holds after a cut at this moment into `root`, a new directory."""
        self._lay(root, ROOT, _Fate(rng=rng, chance=rng.choice(_CHANCES), ordered=ordered))

    def _lay(self, place: Path, node: int, fate: _Fate) -> None:
        place.mkdir(mode=0o700)
        directory = self._directories[node]
        entries = dict(directory.entries)
        for _, change in directory.since:
            if not fate.kind():  # names go to the journal in their order: what follows is lost as well
                break
            _name(entries, change)
        for name, child in entries.items():
            if child in self._directories:
                self._lay(place / name, child, fate)
            else:
                (place / name).write_bytes(_survived(self._file(child), fate))

    def _file(self, node: int) -> _File:
        return self._files.setdefault(node, _File())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fate:
    """Decides what of the unsynced has reached the card."""

    rng: Random
    chance: float
    ordered: bool

    def kind(self) -> bool:
        return self.rng.random() < self.chance


def _survived(file: _File, fate: _Fate) -> bytes:
    data = bytearray(file.data)
    stopped = False
    for _, change in file.since:
        if isinstance(change, Resize):
            if fate.kind() and not (stopped and change.size > len(data)):
                _apply(data, change)
            continue
        for start, piece in _sectors(change):
            grows = start + len(piece) > len(data)
            if fate.kind() and not (stopped and grows):
                _apply(data, Write(node=change.node, at=start, data=piece))
            elif grows:
                stopped = fate.ordered
    return bytes(data)


def _sectors(change: Write) -> Iterator[tuple[int, bytes]]:
    at = change.at
    while at < change.at + len(change.data):
        end = (at // _SECTOR + 1) * _SECTOR
        yield at, change.data[at - change.at : end - change.at]
        at = end


def _apply(data: bytearray, change: Write | Resize) -> None:
    size = change.size if isinstance(change, Resize) else change.at + len(change.data)
    if len(data) < size:
        data.extend(bytes(size - len(data)))
    if isinstance(change, Resize):
        del data[size:]
    else:
        data[change.at : size] = change.data


def _name(entries: dict[str, int], change: Names) -> None:
    for name, node in change.entries.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node
