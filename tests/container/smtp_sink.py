"""A mail relay for a box, whose Python has no packages: it takes mail for anybody but `nobody@`, which it refuses.

Alone: `python3 smtp_sink.py PORT FOLDER`; each mail is a file in the folder.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

_NUMBERS = count(1)


async def serve(port: int, folder: Path) -> None:
    """Take mail until killed."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink\r\n")
        while line := await reader.readline():
            answer = b"250 done\r\n"
            if line.upper().startswith(b"RCPT TO:<NOBODY@"):
                answer = b"550 5.1.1 there is nobody\r\n"
            elif line.upper().startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                mail = await reader.readuntil(b"\r\n.\r\n")
                await asyncio.to_thread((folder / f"{next(_NUMBERS)}.eml").write_bytes, mail)
            elif line.upper().startswith(b"QUIT"):
                writer.write(b"221 bye\r\n")
                break
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", port, limit=64 * 1024 * 1024)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
