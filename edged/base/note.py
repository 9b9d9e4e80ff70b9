"""A small thing that changes often, kept on the disk at the least wear: a note that is overwritten in place.

A file of two slots of whole blocks: the note in one of them is the newer one, the next goes into the other. So a write
costs one block and no name, where a new file under the old name costs a new block, two changes of the directory and two
syncs; and what a power cut leaves half written is known by its checksum, then the note before it counts.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edged.base.disk import replace_synced

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK = 4096  # bytes: the least that the kernel writes, and that a torn write of the other slot leaves alone
_SLOTS = 2
_HEAD = struct.Struct("<8s8sQI")  # magic, checksum of what follows it, number of the note, its length in bytes
_MAGIC = b"edgednt1"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Slot:
    number: int
    data: bytes


class NoNoteError(Exception):
    """The file holds no whole note: it is another kind of file, or was damaged."""


def read_note(path: Path) -> bytes:
    """Return the newest whole note; OSError where the file can't be read, NoNoteError where it holds none."""
    whole = [slot for slot in _slots(path.read_bytes()) if slot is not None]
    if not whole:
        raise NoNoteError(f"{path} holds no whole note")
    return max(whole, key=lambda slot: slot.number).data


def write_note(path: Path, data: bytes) -> None:
    """Make `data` the newest note; when this returns it survives a power cut. OSError where the disk refuses.

    The file is made anew only when there is none yet, or `data` has outgrown its slots.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        replace_synced(path, _fresh(data))
        return
    try:
        fits = _overwrite(descriptor, data)
    finally:
        os.close(descriptor)
    if not fits:
        replace_synced(path, _fresh(data))


def _overwrite(descriptor: int, data: bytes) -> bool:
    """Write `data` over the older note; False, and nothing written, where it does not fit or no slot is whole."""
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    slots = _slots(content)
    numbers = [0 if slot is None else slot.number for slot in slots]
    size = len(content) // _SLOTS
    if not any(slots) or _HEAD.size + len(data) > size:
        return False
    note = _packed(max(numbers) + 1, data)
    if os.pwrite(descriptor, note, numbers.index(min(numbers)) * size) != len(note):
        raise OSError(errno.EIO, "the note was written in part")
    os.fdatasync(descriptor)  # the length stays: nothing of the file's own needs to last
    return True


def _fresh(data: bytes) -> bytes:
    """Return a file's content with `data` in its first slot; its second holds no note yet, but has its blocks."""
    blocks = -(-(_HEAD.size + len(data)) // _BLOCK)
    return _packed(1, data).ljust(_SLOTS * blocks * _BLOCK, b"\0")


def _packed(number: int, data: bytes) -> bytes:
    rest = struct.pack("<QI", number, len(data)) + data
    return _MAGIC + _checksum(rest) + rest


def _slots(content: bytes) -> tuple[_Slot | None, ...]:
    """Return the slots of a file, None for one without a whole note."""
    size = len(content) // _SLOTS
    return tuple(_slot(content[at : at + size]) for at in (0, size))


def _slot(block: bytes) -> _Slot | None:
    if len(block) < _HEAD.size:
        return None
    magic, checksum, number, length = _HEAD.unpack_from(block)
    end = _HEAD.size + length
    if magic != _MAGIC or end > len(block) or _checksum(block[len(_MAGIC) + len(checksum) : end]) != checksum:
        return None
    return _Slot(number=number, data=block[_HEAD.size : end])


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2s(data, digest_size=8).digest()
