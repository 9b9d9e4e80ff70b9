"""A mail catcher on loopback: it takes every mail, delivers none, and keeps each as an .eml file.

Alone: `python scripts/demo_parts/mail_catcher.py --port 2525 DIR`. The envelope goes in front of each mail as
X-MailFrom and X-RcptTo.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from types import TracebackType


class MailCatcher:
    """Listens on 127.0.0.1 while its `async with` block runs; `port` 0 takes a free one."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.caught = 0
        self._folder: Path | None = None
        self._server: asyncio.Server | None = None

    def deliver_to(self, folder: Path) -> None:
        """Keep mails in `folder`; until this is called they are refused for now."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802 -- aiosmtpd's name
        """Keep one mail, as aiosmtpd's hook."""
        if self._folder is None:
            return "451 not ready yet"
        self.caught += 1
        head = "".join(
            [f"X-MailFrom: {envelope.mail_from}\r\n", *(f"X-RcptTo: {name}\r\n" for name in envelope.rcpt_tos)]
        )
        path = self._folder / f"{self.caught:04}.eml"
        await asyncio.to_thread(_keep, path, head.encode() + envelope.original_content)
        return f"250 kept as {path.name}"

    def _connected(self) -> SMTP:
        return SMTP(self, hostname="mail-catcher.invalid", ident="edged demo")


def _keep(path: Path, mail: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(mail)
    part.rename(path)


async def serve(port: int, folder: Path) -> None:
    """Catch mails until interrupted."""
    async with MailCatcher(port) as catcher:
        catcher.deliver_to(folder)
        print(f"catching mail on 127.0.0.1:{catcher.port}, into {folder}", flush=True)
        await asyncio.Event().wait()


def main() -> None:
    """Run the catcher by itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--port", type=int, default=2525)
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.port, options.folder))
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    main()
