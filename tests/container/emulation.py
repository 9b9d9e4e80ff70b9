"""Programs for another processor: run by qemu, which the kernel knows of for as long as they are needed."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.container.machine import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NATIVE = {"x86_64": "amd64", "aarch64": "arm64"}  # what the kernel calls it, and Debian
# of a program's first 20 bytes all but the ABI count, and that it may be of any kind
_MASK = "ff" * 7 + "00" + "ff" * 8 + "feffffff"
_PROGRAMS = {"arm64": ("qemu-aarch64-static", "7f454c46020101" + "00" * 9 + "0200b700")}
# A mount of its own, gone with it. It ends with its input: a killed test leaves nothing either.
_KEEPER = """
    [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
    printf %s "$2" >/proc/sys/fs/binfmt_misc/register
    echo ready
    cat >/dev/null
    echo -1 >"/proc/sys/fs/binfmt_misc/$1"
"""


@contextlib.contextmanager
def emulated(arch: str) -> Iterator[None]:
    """Have this machine run programs of `arch`, in containers as well. Raises UnavailableError where it can't."""
    if _NATIVE.get(platform.machine()) == arch:
        yield
        return
    emulator, magic = _PROGRAMS[arch]
    program = shutil.which(emulator)
    if program is None:
        raise UnavailableError(f"not installed: {emulator} (./scripts/setup --tests)")
    name = f"edged-lab-{os.getpid()}-{arch}"
    # O, P, F: opened for it, argv[0] kept, and the emulator opened now, since no container has it
    rule = f":{name}:M::{_escaped(magic)}:{_escaped(_MASK)}:{program}:OPF"
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation=slave", "sh", "-euc", _KEEPER, "keeper", name, rule],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        if keeper.stdout.readline() != "ready\n":
            raise UnavailableError(f"the kernel does not take an emulator: {keeper.stderr.read().strip()}")
        try:
            yield
        finally:
            keeper.stdin.close()


def _escaped(digits: str) -> str:
    return "".join(f"\\x{digits[at : at + 2]}" for at in range(0, len(digits), 2))
