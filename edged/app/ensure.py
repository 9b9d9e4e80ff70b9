"""`edged ensure`: have everything that is kept proven to be elsewhere, and wait for it if asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from edged.app.client import ask
from edged.app.listing import size
from edged.supervise.control import NoDaemonError, call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edged.settings import DeviceConfig

log = structlog.get_logger(__name__)

_LOOK = 1.0  # seconds between two looks while it is waited
_PATIENCE = 600.0  # seconds for a sweep of a slow card
_BAR = 30  # characters


async def ensure(config: DeviceConfig, *, wait: float, progress: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Queue what is not under way, wait up to `wait` seconds, and return what `standing` says then.

    `progress` is called with each standing. The wait ends early when nothing that is left can come by itself; without a
    daemon nothing can.
    """
    result: dict[str, Any] = await ask(config, "ensure", {}, timeout=_PATIENCE)
    lost = result["lost"]
    loop = asyncio.get_running_loop()
    end = loop.time() + wait
    while not result["safe"] and _may_come(result) and loop.time() < end:
        progress(result)
        await asyncio.sleep(min(_LOOK, max(0.0, end - loop.time())))
        try:
            result = await call(config.device.state / "control.sock", "standing", {}, timeout=_PATIENCE)
        except NoDaemonError:
            break
        result |= {"lost": lost, "safe": result["safe"] and not lost}
    progress(result)
    return result


class Progress:
    """Shows standings on `stream` (none: not at all): on a terminal as a bar, else as a line for each change."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._shown = ""

    def show(self, result: dict[str, Any]) -> None:
        """Show a standing."""
        text = bar(result)
        if self._stream is None or text == self._shown:
            return
        self._stream.write(f"\r{text}" if self._stream.isatty() else f"{text}\n")
        self._stream.flush()
        self._shown = text

    def end(self) -> None:
        """Leave the bar's line."""
        if self._stream is not None and self._shown and self._stream.isatty():
            self._stream.write("\n")


def bar(result: dict[str, Any]) -> str:
    """Return a standing as a bar with its figures."""
    whole, done = result["bytes"], result["proven_bytes"]
    filled = _BAR if not whole else _BAR * done // whole
    files = f"{result['proven_files']} of {result['files']} files"
    return f"[{'#' * filled:.<{_BAR}}] {files}, {size(done)} of {size(whole)} proven"


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Yield what a person should read of a standing: what is not safe, each with why, and the sum."""
    for row in result["unproven"]:
        yield f"{row['path']} ({size(row['size'])}): {row['why']}"
    if result["recording"]:
        yield f"{result['recording']} incidents are still being recorded"
    if result["lost"]:
        yield f"{result['lost']} files were found missing or changed; each is in the ledger of losses"
    if result["given_up"]:
        yield f"note: {result['given_up']} files were given up by a person, and stay until retention takes them"
    if result.get("alone") and not result["safe"]:
        yield "note: no edged runs here, so nothing is under way"
    figures = f"{result['proven_files']} files, {size(result['proven_bytes'])}"
    yield f"everything is safe: {figures}" if result["safe"] else f"not everything is safe; what is: {figures}"


def report(result: dict[str, Any]) -> None:
    """Tell a standing as events of the log: what comes by itself in one, what needs a person once for each reason."""
    if result["safe"]:
        log.info("everything is safe", files=result["proven_files"], bytes=result["proven_bytes"])
        return
    coming = [row for row in result["unproven"] if not row["hopeless"]]
    log.info(
        "not everything is safe yet",
        proven_files=result["proven_files"],
        proven_bytes=result["proven_bytes"],
        coming_files=len(coming),
        coming_bytes=sum(row["size"] for row in coming),
        recording=result["recording"],
        running=not result.get("alone", False),
    )
    if result["lost"]:
        log.error("files lost", files=result["lost"], advice="each is in the ledger of losses")
    for rows in _stuck(result):
        size_of_all = sum(row["size"] for row in rows)
        log.warning("needs a person", files=len(rows), bytes=size_of_all, why=rows[0]["why"], path=rows[0]["path"])


def _stuck(result: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Return what does not come by itself, by the gist of its reason: what stands before a colon."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in result["unproven"]:
        if row["hopeless"]:
            found.setdefault(row["why"].partition(":")[0], []).append(row)
    return list(found.values())


def _may_come(result: dict[str, Any]) -> bool:
    coming = result["recording"] or any(not row["hopeless"] for row in result["unproven"])
    return bool(coming) and not result.get("alone", False)
