"""A person at a terminal: a real one (a pty), in which `edged setup` runs and is answered."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

Script = tuple[tuple[str, str | None], ...]

# makes the pty the program's terminal, so that passwords are asked there and Ctrl-C arrives as from a keyboard
_SEATED = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
EDGED = (sys.executable, "-c", "from edged.cli import main; main()")
_LIMIT = 100.0  # seconds for anything to appear, on a machine that has much else to do
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_STRANGER = "Its user (Enter: leave this camera out)"


class Person:
    """Reads what appears and types answers."""

    def __init__(self, program: subprocess.Popen[bytes], terminal: int) -> None:
        self._program = program
        self._terminal = terminal
        self._fresh = asyncio.Event()
        self._raw = b""
        self._read = 0  # letters of `shown` that were looked at
        asyncio.get_running_loop().add_reader(terminal, self._take)

    @property
    def shown(self) -> str:
        """All that appeared, without colours."""
        return _CODES.sub("", self._raw.decode(errors="replace")).replace("\r\n", "\n")

    @property
    def painted(self) -> str:
        """All that appeared, as it came."""
        return self._raw.decode(errors="replace")

    async def sees(self, text: str) -> None:
        """Wait until `text` appears after what was seen before; AssertionError with the screen else."""
        try:
            async with asyncio.timeout(_LIMIT):
                while (at := self.shown.find(text, self._read)) < 0:
                    self._fresh.clear()
                    assert self._terminal >= 0, f"it ended without {text!r}:\n{self.shown}"
                    await self._fresh.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} did not appear:\n{self.shown}") from None
        self._read = at + len(text)

    async def answers(self, question: str, answer: str = "") -> None:
        """Wait for a question and type the answer."""
        await self.sees(question)
        self.types(f"{answer}\n")

    async def follows(self, script: Script) -> None:
        """Answer a row of questions; what has no answer is only waited for."""
        for question, answer in script:
            await self.sees(question)
            if answer is not None:
                self.types(f"{answer}\n")

    async def passes_strangers(self, until: str) -> None:
        """Leave out the cameras that are found in the network of whoever runs the tests."""
        async with asyncio.timeout(_LIMIT):
            while until not in self.shown[self._read :]:
                if _STRANGER in self.shown[self._read :]:
                    await self.answers(_STRANGER)
                    continue
                self._fresh.clear()
                assert self._terminal >= 0, f"it ended without {until!r}:\n{self.shown}"
                await self._fresh.wait()

    def types(self, text: str) -> None:
        """Type something."""
        os.write(self._terminal, text.encode())

    async def interrupts(self) -> int:
        """Press Ctrl-C and return the exit code; once more where it came just before Python began to wait for input."""
        while True:
            self.types("\x03")
            with suppress(TimeoutError):
                return await self.ends(limit=5.0)

    async def ends(self, limit: float = _LIMIT) -> int:
        """Wait for the end and return the exit code."""
        async with asyncio.timeout(limit):
            while self._terminal >= 0:
                self._fresh.clear()
                await self._fresh.wait()
            return await asyncio.to_thread(self._program.wait)

    def leaves(self) -> None:
        """End whatever still runs."""
        if self._terminal >= 0:
            self._close()
        with suppress(ProcessLookupError):
            os.killpg(self._program.pid, signal.SIGKILL)
        self._program.wait()

    def _take(self) -> None:
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # EIO: the other end is closed
            data = b""
        self._raw += data
        if not data:
            self._close()
        self._fresh.set()

    def _close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._terminal)
        os.close(self._terminal)
        self._terminal = -1


@asynccontextmanager
async def sitting(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = EDGED,
) -> AsyncGenerator[Person]:
    """Start `edged setup ARGUMENTS` in a terminal; `program` is what runs it, if not these sources."""
    terminal, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _SEATED, *program, "setup", *arguments],
        stdin=other,
        stdout=other,
        stderr=other,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "", "PYTHONUTF8": "1", **(environment or {})},
    )
    os.close(other)
    person = Person(process, terminal)
    try:
        yield person
    finally:
        person.leaves()
