"""Makes picamera2 work without a Pi's kernel: import it before a camera is opened.

On a Pi buffers come from the kernel's DMA heap. Here they come from memory files, which picamera2 maps all the same;
their cache needs no synchronisation.
"""

from __future__ import annotations

import fcntl
import os
from types import SimpleNamespace
from typing import Any

import picamera2.allocators.dmaallocator as allocator
import picamera2.dma_heap as heap


class _MemoryHeap:
    isValid = True  # noqa: N815 -- picamera2's name

    def alloc(self, name: str, size: int) -> Any:
        handle = os.memfd_create(name, os.MFD_CLOEXEC)
        os.ftruncate(handle, size)
        return heap.UniqueFD(handle)

    def close(self) -> None:
        """Nothing is held."""


def _ioctl(handle: int, request: int, argument: Any = 0, mutate: bool = True) -> Any:
    return 0 if request == heap.DMA_BUF_IOCTL_SYNC else fcntl.ioctl(handle, request, argument, mutate)


allocator.DmaHeap = _MemoryHeap
allocator.fcntl = SimpleNamespace(ioctl=_ioctl)
