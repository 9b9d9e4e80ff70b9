"""`edged enqueue`: any file through the same spool, outbox and upload as a clip."""

from __future__ import annotations

import asyncio
import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edged.base.errors import EdgedError
from edged.outbox.policy import document_drafts

if TYPE_CHECKING:
    from edged.base.clock import Clock
    from edged.outbox.policy import Destinations
    from edged.outbox.spool import Spool
    from edged.outbox.store import Outbox


async def enqueue(
    outbox: Outbox, spool: Spool, clock: Clock, destinations: Destinations, args: dict[str, Any]
) -> list[dict[str, Any]]:
    """Take `args["files"]` into the spool and the outbox; EdgedError names the file that can't be taken.

    All are looked at before the first is taken, so a mistyped name changes nothing.
    """
    if not destinations.stores:
        raise EdgedError("there is nowhere to send files to: the configuration names neither a [receiver] nor a folder")
    sources = [Path(name) for name in args["files"]]
    for source in sources:
        if not await asyncio.to_thread(_readable, source):
            raise EdgedError(f"{source} is no file that edged can read; nothing was enqueued{_hint()}")
    entered: list[dict[str, Any]] = []
    for source in sources:
        try:
            document = await asyncio.to_thread(spool.take_document, source, clock)
        except OSError as error:
            before = f"; enqueued before it: {', '.join(row['name'] for row in entered)}" if entered else ""
            raise EdgedError(f"{source} can't be taken into the spool: {error.strerror}{before}") from error
        await outbox.add_document(document, document_drafts(document, destinations))
        first = (await outbox.deliveries_for(document.id))[0]
        entered.append({"name": document.name, "size": document.size, "document": document.id, "delivery": first.id})
    return entered


def _hint() -> str:
    """Return why a service may not see what the person who asks it does."""
    if "NOTIFY_SOCKET" not in os.environ:  # not started by systemd
        return ""
    return (
        f" (the service, user {getpass.getuser()}, sees nothing in /home and /tmp: put it into /srv, for all to read)"
    )


def _readable(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.R_OK)
    except OSError:  # a directory above it that this user may not enter
        return False
