"""The control socket: the commands' way into a running daemon.

A Unix stream socket of mode 0600; each request and each answer is one line of JSON:
{"command": "outbox.list", "args": {...}} is answered by {"ok": true, "result": ...} or {"ok": false, "text": "..."}.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import structlog

from edged.base.errors import EdgedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

log = structlog.get_logger(__name__)

_LINE = 16 * 1024 * 1024  # bytes; a listing of the whole outbox fits
_REQUEST_WAIT = 30.0  # seconds for a client to say what it wants


class NoDaemonError(EdgedError):
    """Nobody listens on the control socket."""


class CommandError(EdgedError):
    """The daemon refused a command; the text says why."""


class ControlServer:
    """Serves `handlers` (command name to coroutine function taking the arguments) on the socket at `path`."""

    def __init__(self, path: Path, handlers: Mapping[str, Callable[[dict[str, Any]], Awaitable[Any]]]) -> None:
        self._path = path
        self._handlers = handlers
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. The state directory's lock is held, so a socket left there is stale: asyncio replaces it."""
        before = os.umask(0o177)  # the socket must never exist with a wider mode, not for an instant
        try:
            self._server = await asyncio.start_unix_server(self._accept, self._path, limit=_LINE)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        """Stop listening, remove the socket, and hang up on commands that wait: what they work on is about to close."""
        if self._server is not None:
            self._server.close()
            await asyncio.to_thread(self._path.unlink, missing_ok=True)
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="control command")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_WAIT):
                line = await reader.readline()
            answer = await self._answer(line)
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (TimeoutError, ValueError, ConnectionError) as error:
            log.warning("control request dropped", reason=str(error) or type(error).__name__)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            command, args = request["command"], request.get("args", {})
        except (ValueError, KeyError, TypeError, RecursionError):
            return {"ok": False, "text": "the request is no JSON object with a command"}
        handler = self._handlers.get(command) if isinstance(command, str) else None
        if handler is None:
            return {"ok": False, "text": f"unknown command {command!r}"}
        if not isinstance(args, dict):
            return {"ok": False, "text": "args must be an object"}
        return await self._run(command, handler, args)

    async def _run(
        self, command: str, handler: Callable[[dict[str, Any]], Awaitable[Any]], args: dict[str, Any]
    ) -> dict[str, Any]:
        try:
            return {"ok": True, "result": await handler(args)}
        except KeyError as error:
            return {"ok": False, "text": f"the argument {error} is missing"}
        except (EdgedError, ValueError) as error:
            return {"ok": False, "text": str(error)}
        except Exception as error:  # the border to a person: whatever went wrong, they get an answer
            log.error("command failed", command=command, exc_info=error)
            return {"ok": False, "text": f"{command} failed inside edged; its log says why"}


async def call(path: Path, command: str, args: dict[str, Any], *, timeout: float = 30.0) -> Any:
    """Send one command and return its result.

    Raises NoDaemonError when no daemon listens or it goes away, CommandError when it refuses or takes more than
    `timeout` seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            line = await _exchange(path, json.dumps({"command": command, "args": args}).encode() + b"\n")
    except (FileNotFoundError, ConnectionError) as error:
        raise NoDaemonError(f"no edged is running on {path.parent}") from error
    except PermissionError as error:
        raise CommandError(f"{path} belongs to another user: run this as the user that edged runs as") from error
    except TimeoutError as error:
        raise CommandError(f"edged gave no answer to {command} for {timeout:.0f} s") from error
    answer = json.loads(line)
    if not answer["ok"]:
        raise CommandError(answer["text"])
    return answer["result"]


async def _exchange(path: Path, request: bytes) -> bytes:
    """Send one line and return the line that answers it; ConnectionError when the daemon hangs up."""
    reader, writer = await asyncio.open_unix_connection(path, limit=_LINE)
    try:
        writer.write(request)
        await writer.drain()
        line = await reader.readline()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    if not line:
        raise ConnectionResetError("the daemon hung up")
    return line
