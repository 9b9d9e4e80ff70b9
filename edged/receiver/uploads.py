"""The life of an upload: begun, resumed at the byte, whole, hashed, kept, and proven by a receipt.

Order at the end: data, fsync, the blob's name, fsync of its directory, the record, the database's row, the
answer. Whatever is interrupted in between is taken up again by the next request for the upload, or at the next start.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from edged.receiver.intake import receive
from edged.receiver.records import Record, record_of
from edged.receiver.store import StoredFile, Upload
from edged.receiver.turnstile import Turnstile
from edged.receiver.vault import Tail
from edged.wire import faults, tus
from edged.wire.faults import FaultError

if TYPE_CHECKING:
    import hashlib
    from collections.abc import Mapping

    from aiohttp import StreamReader

    from edged.base.clock import Clock
    from edged.receiver.settings import LimitSettings
    from edged.receiver.store import Store
    from edged.receiver.turnstile import Turn
    from edged.receiver.vault import Vault
    from edged.wire.manifest import Manifest

log = structlog.get_logger(__name__)

FULL_PAUSE = 600.0  # seconds after which a client may look whether there is space again
UNANNOUNCED = "0" * 64  # stands for the digest where a foreign client announced none

_PROLONG = 0.02  # of an upload's life may pass before its new expiry is written down


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where an upload stands: `offset` of `length` bytes; `file` once it is whole, `expires` until then."""

    id: str
    length: int
    offset: int
    expires: float | None = None
    file: StoredFile | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Append:
    """A PATCH: its headers, its content type, the bytes it announces (None: chunked), and the body."""

    headers: Mapping[str, str]
    content_type: str
    announced: int | None
    body: StreamReader


class Uploads:
    """All uploads of all owners. An owner sees only its own."""

    def __init__(self, store: Store, vault: Vault, limits: LimitSettings, clock: Clock) -> None:
        self._store = store
        self._vault = vault
        self._limits = limits
        self._clock = clock
        self._digests: dict[str, tuple[hashlib._Hash, int]] = {}  # by upload, with the bytes that went in
        self._shelves = [asyncio.Lock() for _ in range(256)]  # by a content's first byte: kept or dropped, not both
        self.turns = Turnstile()

    async def create(self, owner: str, manifest: Manifest, length: int) -> Standing:
        """Begin an upload, or find the one that its key already names."""
        self._check_type(manifest.content_type)
        file = await self._store.file(owner, key=manifest.key)
        if file is not None and await self.holds(file):
            _check_same(manifest, length, file.sha256, file.size)
            return _arrived(file)
        await self._check_space(length)
        now = self._clock.wall()
        upload = Upload(
            id=secrets.token_hex(16),
            owner=owner,
            length=length,
            manifest=manifest,
            created=now,
            expires=now + self._limits.upload_life,
        )
        begun = await self._store.begin(upload, self._limits.open_uploads)
        if begun is None:
            raise FaultError(faults.TOO_MANY, f"{self._limits.open_uploads} uploads are open; finish or delete some")
        _check_same(manifest, length, begun.manifest.sha256, begun.length)
        async with self.turns.enter(begun.id):
            await asyncio.to_thread(self._vault.create, begun.id)
            return await self._stand(owner, begun.id)

    async def stand(self, owner: str, identity: str) -> Standing:
        """Return where an upload stands; a running PATCH is stopped first, and what it brought is counted."""
        async with self.turns.enter(identity):
            return await self._stand(owner, identity)

    async def append(self, owner: str, identity: str, patch: Append) -> Standing:
        """Take a PATCH in; what arrived before an error is kept."""
        async with self.turns.enter(identity) as turn:
            before = await self._stand(owner, identity)
            tus.check_patch(
                patch.headers,
                content_type=patch.content_type,
                stored=before.offset,
                length=before.length,
                body=patch.announced,
            )
            if before.file is not None:
                return before
            await self._check_space(0)
            await self._receive(before, patch.body, turn)
            await self._prolong(before)
            return await self._stand(owner, identity)

    async def remove(self, owner: str, identity: str) -> None:
        """End an unfinished upload and throw its bytes away; a finished one can't be removed by its device."""
        async with self.turns.enter(identity):
            standing = await self._stand(owner, identity)
            if standing.file is not None:
                raise FaultError(faults.FORBIDDEN, "the upload is complete; the receiver's retention removes it")
            await self._throw_away(identity)

    async def expire(self) -> int:
        """Throw away the uploads whose time is over; return how many."""
        expired = await self._store.expired(self._clock.wall())
        for upload in expired:
            async with self.turns.enter(upload.id):
                await self._throw_away(upload.id)
            log.info("upload expired", incident=upload.manifest.incident, device=upload.owner, upload=upload.id)
        return len(expired)

    async def recover(self, *, anew: bool = False) -> None:
        """At the start: finish what is whole, enter again what only a record knows, sweep what nothing knows.

        `anew`: the database is not the one that was used last; then nothing whole is swept.
        """
        begun = await self._store.uploads()
        for upload in begun:
            try:
                if await asyncio.to_thread(self._vault.length, upload.id) >= upload.length:
                    await self._finish(upload)
            except FaultError as error:
                log.warning("upload thrown away", device=upload.owner, upload=upload.id, error=str(error))
            except (OSError, sqlite3.OperationalError) as error:
                # a full disk, or one that can't read this file: the others must be served; its device asks again
                log.error("upload not finished", device=upload.owner, upload=upload.id, error=str(error))
        whole = await self._enter_recorded()
        uploads = {upload.id for upload in await self._store.uploads()}
        contents = await self._store.contents() if whole and not anew else None
        strays = await asyncio.to_thread(self._vault.sweep, uploads, contents)
        log.info("storage checked", uploads=len(uploads), strays=strays)

    async def drop(self, file: StoredFile) -> None:
        """Remove a file for good, and its content unless another file shares it."""
        async with self._shelf(file.sha256):
            await asyncio.to_thread(self._vault.records.remove, file.id)
            if await self._store.drop_file(file.id, self._clock.wall()):
                await asyncio.to_thread(self._vault.drop, file.sha256)

    async def holds(self, file: StoredFile) -> bool:
        """Return whether a stored file's content is still here; of one that is gone nothing more is claimed."""
        if await asyncio.to_thread(self._vault.holds, file.sha256, file.size):
            return True
        log.error("stored file lost", device=file.owner, key=file.key, path=str(self._vault.blob(file.sha256)))
        await self.drop(file)
        return False

    async def _enter_recorded(self) -> bool:
        """Enter the files that have a record and no row, and write the records that are missing; False if one can't be.

        Rows are missing after the database was lost, records where an earlier edged kept none.
        """
        records = self._vault.records
        known, recorded = await self._store.identities(), await asyncio.to_thread(records.identities)
        found = await asyncio.to_thread(lambda: list(records.read(recorded - known)))
        for record in found:
            if await asyncio.to_thread(self._vault.holds, record.file.sha256, record.file.size):
                await self._store.enter(record.file, record.manifest)
                log.warning("file entered again", device=record.file.owner, key=record.file.key)
        for identity in known - recorded:
            file = await self._store.file_by_id(identity)
            if file is not None:
                incident = await self._store.incident(file.owner, file.incident) if file.incident is not None else None
                await asyncio.to_thread(records.write, record_of(file, incident))
        return len(found) == len(recorded - known)

    async def _stand(self, owner: str, identity: str) -> Standing:
        upload = await self._store.upload(owner, identity)
        if upload is None:
            file = await self._store.file(owner, identity=identity)
            if file is None or not await self.holds(file):
                raise FaultError(faults.GONE)
            return _arrived(file)
        offset = min(await asyncio.to_thread(self._vault.length, identity), upload.length)
        if offset == upload.length:
            return _arrived(await self._finish(upload))
        return Standing(id=identity, length=upload.length, offset=offset, expires=upload.expires)

    async def _receive(self, before: Standing, body: StreamReader, turn: Turn) -> None:
        digest, hashed = self._digests.pop(before.id, (None, 0))
        if digest is None or hashed != before.offset:
            digest = await asyncio.to_thread(self._vault.digest, before.id)
        tail = await asyncio.to_thread(Tail, self._vault.partial(before.id), digest)
        try:
            room = before.length - before.offset
            await receive(body, tail, room=room, idle=self._limits.idle, turn=turn)
        finally:
            if not tail.doubtful:
                self._digests[before.id] = (digest, before.offset + tail.hashed)

    async def _finish(self, upload: Upload) -> StoredFile:
        digest, hashed = self._digests.pop(upload.id, (None, 0))
        if digest is None or hashed != upload.length:
            digest = await asyncio.to_thread(self._vault.digest, upload.id)
        sha256 = digest.hexdigest()
        if upload.manifest.sha256 not in {sha256, UNANNOUNCED}:
            await self._throw_away(upload.id)
            raise FaultError(faults.CONTENT)
        async with self._shelf(sha256):
            await asyncio.to_thread(self._vault.keep, upload.id, sha256)
            file = stored_file(upload, sha256, self._clock.wall())
            await asyncio.to_thread(self._vault.records.write, Record(file=file, manifest=upload.manifest))
            file = await self._store.enter(file, upload.manifest)
        await asyncio.to_thread(self._vault.discard, upload.id)
        log.info(
            "file stored", device=file.owner, key=file.key, kind=file.kind, incident=file.incident, bytes=file.size
        )
        return file

    async def _throw_away(self, identity: str) -> None:
        self._digests.pop(identity, None)
        await self._store.forget(identity)
        await asyncio.to_thread(self._vault.discard, identity)

    async def _prolong(self, before: Standing) -> None:
        life = float(self._limits.upload_life)
        expires = self._clock.wall() + life
        if before.expires is not None and expires - before.expires > _PROLONG * life:
            await self._store.prolong(before.id, expires)

    async def _check_space(self, needed: int) -> None:
        if await asyncio.to_thread(self._vault.free) - needed < self._limits.reserve:
            raise FaultError(faults.FULL, retry_after=FULL_PAUSE)

    def _check_type(self, content_type: str) -> None:
        if not accepts(self._limits.types, content_type):
            raise FaultError(faults.TYPE, f"{content_type}; this receiver takes {', '.join(self._limits.types)}")

    def _shelf(self, sha256: str) -> asyncio.Lock:
        return self._shelves[int(sha256[:2], 16)]


def accepts(patterns: tuple[str, ...], content_type: str) -> bool:
    """Return whether one of `patterns` ("video/mp4", "video/*", "*/*") covers `content_type`."""
    main = content_type.partition("/")[0]
    return any(pattern in {content_type, f"{main}/*", "*/*"} for pattern in patterns)


def stored_file(upload: Upload, sha256: str, now: float) -> StoredFile:
    """Return the file that a whole upload is; `now` in Unix seconds."""
    manifest = upload.manifest
    return StoredFile(
        id=upload.id,
        owner=upload.owner,
        key=manifest.key,
        kind=manifest.kind,
        name=manifest.name,
        content_type=manifest.content_type,
        size=upload.length,
        sha256=sha256,
        incident=manifest.incident,
        part=manifest.part,
        seconds=manifest.seconds,
        start=manifest.start,
        stored=now,
    )


def _check_same(manifest: Manifest, length: int, sha256: str, size: int) -> None:
    if (length, manifest.sha256) != (size, sha256):
        raise FaultError(faults.KEY_TAKEN)


def _arrived(file: StoredFile) -> Standing:
    return Standing(id=file.id, length=file.size, offset=file.size, file=file)
