"""The outbox: incidents, files, deliveries and ledgers in one database, every method one transaction.

The transactions themselves are plain functions in incidents, deliveries, windows, notices, files, ledger and queries.
A cancelled call may have committed all the same; every one of them may be repeated.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from edged.base.clock import stamp
from edged.base.copies import naming_lockers
from edged.base.disk import Place
from edged.outbox import claiming, deliveries, digests, files, incidents, ledger, notices, pruning, queries, windows
from edged.outbox.ballast import Ballast
from edged.outbox.opening import open_sound

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path
    from sqlite3 import Connection

    from edged.base.clock import Clock, Stamp
    from edged.base.db import Database
    from edged.model import Clip, Delivery, Gap, Incident, Lane, Loss, Snapshot, State
    from edged.outbox.nouns import AlertRules, Backlog, Counts, Document, Dossier, LedgerGap, Notice, StoredFile
    from edged.outbox.policy import Draft
    from edged.wire.receipt import Receipt

T = TypeVar("T")

_PAGE = 500  # files


async def open_outbox(path: Path, clock: Clock) -> Outbox:
    """Open or create the outbox at `path`; a damaged one is set aside, and the fresh one's `rebuilt` says so.

    Raises NewerSchemaError, sqlite3.OperationalError (disk full, read-only, locked by another program).
    """
    ballast = Ballast(path.parent)
    async with naming_lockers(path):
        database, rebuilt = await ballast.ease(lambda: open_sound(path, clock))
        try:
            await ballast.ease(lambda: database.run(lambda tx: deliveries.start_boot(tx, clock.boot())))
        except BaseException:
            await database.close()
            raise
    return Outbox(database, clock, ballast, rebuilt=rebuilt)


class Outbox:
    """An open outbox; `open_outbox` makes it. `rebuilt`: it lost what an earlier one knew."""

    def __init__(self, database: Database, clock: Clock, ballast: Ballast, *, rebuilt: bool = False) -> None:
        self.database = database
        self.ballast = ballast
        self.root: Path = database.path.parent
        self.place = Place(self.root)
        self.rebuilt = rebuilt
        self._clock = clock
        self.commits = 0  # since it was opened, those that changed something
        self.undescribed: set[str] = set()  # incidents whose deliveries have changed since their sidecars were written
        self.describing = asyncio.Lock()  # held from reading an incident's rows until its sidecar is written
        self._subscribers: list[asyncio.Event] = []

    async def close(self) -> None:
        """Close the database; the last thing of an ordered stop."""
        await self.database.close()

    def subscribe(self) -> asyncio.Event:
        """Return an event that is set after each commit that may have added work; its owner clears it."""
        event = asyncio.Event()
        self._subscribers.append(event)
        return event

    # ------------------------------------------------------------------------------------ incidents and files

    async def open_incident(
        self, incident: Incident, drafts: Sequence[Draft], rules: AlertRules, snapshot: Snapshot | None = None
    ) -> Incident:
        """Enter an incident, its alerts and first snapshot; return it with `alerting` and `held` decided.

        `drafts` holds its alerts (left out when held back) and the snapshot's uploads.
        """
        now = self._now()
        return await self._write(
            lambda tx: incidents.open_incident(tx, self.root, incident, drafts, rules=rules, snapshot=snapshot, now=now)
        )

    async def import_incidents(self, found: Sequence[Incident], notice: Notice | None, people: Sequence[str]) -> int:
        """Enter incidents found in sidecars as they are, and the notice that tells of them; return how many are new."""
        now = self._now()
        return await self._write(lambda tx: incidents.import_incidents(tx, found, notice, people, now))

    async def extend_incident(self, incident: str, zones: Iterable[str]) -> None:
        """Add zones to an incident."""
        added = tuple(zones)
        await self._write(lambda tx: incidents.extend_incident(tx, incident, added))

    async def close_incident(self, incident: str, closed: Stamp, *, recovered: bool = False) -> bool:
        """Close an incident; False if it was closed already."""
        return await self._write(lambda tx: incidents.close_incident(tx, incident, closed, recovered=recovered))

    async def add_clip(self, clip: Clip, drafts: Sequence[Draft]) -> bool:
        """Enter a sealed part with its uploads; False if it is known."""
        now = self._now()
        return await self._write(lambda tx: incidents.add_clip(tx, self.root, clip, drafts, now))

    async def add_snapshot(self, snapshot: Snapshot, drafts: Sequence[Draft]) -> bool:
        """Enter a better snapshot with its uploads; False if it is known."""
        now = self._now()
        return await self._write(lambda tx: incidents.add_snapshot(tx, self.root, snapshot, drafts, now))

    async def add_document(self, document: Document, drafts: Sequence[Draft]) -> bool:
        """Enter a document with its uploads; False if it is known."""
        now = self._now()
        return await self._write(lambda tx: incidents.add_document(tx, self.root, document, drafts, now))

    async def incident(self, incident: str) -> Incident | None:
        """Return an incident by id."""
        return await self._read(lambda tx: incidents.find(tx, incident))

    async def incidents(self, limit: int = 50, before: str | None = None) -> tuple[Incident, ...]:
        """Return incidents, newest first; with `before`, those entered before that one."""
        return await self._read(lambda tx: incidents.listing(tx, limit, before))

    async def dossier(self, incident: str) -> Dossier | None:
        """Return an incident with its files and deliveries as of one moment, by id."""
        return await self._read(lambda tx: incidents.dossier(tx, self.root, incident))

    async def dossiers(self, limit: int) -> tuple[Dossier, ...]:
        """Return the newest incidents, newest first, with their files and deliveries as of one moment."""
        return await self._read(lambda tx: incidents.dossiers(tx, self.root, limit))

    async def unclosed_incidents(self) -> tuple[Incident, ...]:
        """Return the incidents that are still open, oldest first."""
        return await self._read(incidents.unclosed)

    async def clips_of(self, incident: str) -> tuple[Clip, ...]:
        """Return an incident's sealed parts in order."""
        return await self._read(lambda tx: incidents.clips_of(tx, self.root, incident))

    async def snapshots_of(self, incident: str) -> tuple[Snapshot, ...]:
        """Return an incident's snapshots in order."""
        return await self._read(lambda tx: incidents.snapshots_of(tx, self.root, incident))

    async def file(self, subject: str) -> Clip | Snapshot | Document | None:
        """Return the clip, snapshot or document with this id (a delivery's `subject`)."""
        return await self._read(lambda tx: incidents.find_file(tx, self.root, subject))

    # --------------------------------------------------------------------------------------------- deliveries

    async def next_delivery(
        self, lane: Lane, now: float, *, busy: Collection[int] = (), closed: Collection[str] = ()
    ) -> Delivery | None:
        """Return the most urgent delivery of `lane` that is due at `now` (mono), leaving out rows and destinations."""
        busy, closed = frozenset(busy), frozenset(closed)
        return await self._read(lambda tx: claiming.claim(tx, self.root, lane, now, busy=busy, closed=closed))

    async def next_due(self, lane: Lane, *, busy: Collection[int] = (), closed: Collection[str] = ()) -> float | None:
        """Return the mono time at which the next delivery of `lane` is due (maybe past), None without any."""
        busy, closed = frozenset(busy), frozenset(closed)
        return await self._read(lambda tx: claiming.next_due(tx, lane, busy, closed))

    async def freeze(self, delivery: int, message: bytes) -> bytes:
        """Keep `message` for every attempt; return the one kept first."""
        return await self._write(lambda tx: deliveries.freeze(tx, delivery, message))

    async def waiting_alerts(self, destination: str, limit: int = 100) -> tuple[Delivery, ...]:
        """Return alerts to `destination` that were never tried, oldest first: what a digest may take in."""
        return await self._read(lambda tx: digests.waiting(tx, self.root, destination, limit))

    async def fold(self, carrier: int, others: Collection[int], message: bytes) -> bool:
        """Freeze `message` in `carrier` as the digest that tells `others`; False, changing nothing, if one was tried.

        From now on the others share what becomes of the carrier.
        """
        folded = tuple(others)
        return await self._write(lambda tx: digests.fold(tx, carrier, folded, message))

    async def mark_sending(self, delivery: int) -> None:
        """Note durably that the data is about to go out and may arrive."""
        await self._write(lambda tx: deliveries.mark_sending(tx, delivery))

    async def set_upload_url(self, delivery: int, url: str | None) -> None:
        """Note where the bytes go on, None when that is forgotten."""
        await self._write(lambda tx: deliveries.set_upload_url(tx, delivery, url))

    async def complete(self, delivery: int, receipt: Receipt | None) -> bool:
        """Note that the delivery arrived; False if that was known."""
        now = self._now()
        return await self._settle(delivery, lambda tx: deliveries.complete(tx, delivery, receipt, now))

    async def retry(self, delivery: int, due: float, error: str, *, costs: bool, possibly: bool = False) -> None:
        """Put a delivery off until `due` (mono); `possibly`: it may have arrived all the same."""
        await self._write(lambda tx: deliveries.retry(tx, delivery, due, error, costs=costs, possibly=possibly))

    async def bury(self, delivery: int, error: str) -> None:
        """Give up on a refusal that can't heal."""
        await self._settle(delivery, lambda tx: deliveries.bury(tx, delivery, error))

    async def renew(self, delivery: int) -> None:
        """Give a delivery that made progress its whole budget of attempts back."""
        await self._write(lambda tx: deliveries.renew(tx, delivery))

    async def redrive(self, delivery: int) -> bool:
        """Send a dead, held or waiting delivery at once; False if it is done, dropped, unknown or its file gone."""
        now = self._clock.mono()
        return await self._settle(delivery, lambda tx: deliveries.redrive(tx, delivery, now))

    async def drop(self, delivery: int) -> bool:
        """Give a delivery up by a person's order and enter the loss; False if it is done, dropped or unknown."""
        now = self._now()
        return await self._settle(delivery, lambda tx: deliveries.drop(tx, delivery, now))

    async def lose(self, delivery: int, reason: str) -> bool:
        """Note that a delivery's file is missing or changed: nothing of it waits any more, and the loss is entered."""
        now = self._now()
        return await self._write(lambda tx: files.lose(tx, delivery, reason, now))

    async def delivery(self, delivery: int) -> Delivery | None:
        """Return a delivery by row id."""
        return await self._read(lambda tx: deliveries.find(tx, self.root, delivery))

    async def deliveries(
        self, states: Collection[State] = (), limit: int = 50, before: int | None = None
    ) -> tuple[Delivery, ...]:
        """Return deliveries in `states` (all when empty), newest first, with ids under `before`."""
        chosen = tuple(states)
        return await self._read(lambda tx: deliveries.listing(tx, self.root, chosen, limit, before))

    async def deliveries_of(self, incident: str) -> tuple[Delivery, ...]:
        """Return an incident's deliveries, oldest first."""
        return await self._read(lambda tx: deliveries.of_incident(tx, self.root, incident))

    async def deliveries_for(self, subject: str) -> tuple[Delivery, ...]:
        """Return the deliveries of a file or notice."""
        return await self._read(lambda tx: deliveries.of_subject(tx, self.root, subject))

    # ------------------------------------------------------------------------------------------------ notices

    async def add_notice(self, notice: Notice, destinations: Sequence[str]) -> bool:
        """Enter an alert that is not of one incident, to `destinations` ("mail:..."); False if it is known."""
        now = self._now()
        return await self._write(lambda tx: notices.enter(tx, notice, destinations, now))

    async def notice(self, notice: str) -> Notice | None:
        """Return a notice by id (an alert delivery's `subject` when its `incident` is None)."""
        return await self._read(lambda tx: notices.find(tx, notice))

    async def tell_ended_windows(self, destinations: Sequence[str]) -> int:
        """End the cool-downs and caps that are over, drafting the summaries of what they held back; return how many."""
        now = self._now()
        return await self._write(lambda tx: windows.tell_ended(tx, destinations, now))

    async def next_window_end(self) -> float | None:
        """Return the mono time at which the next window is over, None without windows."""
        now = self._now()
        return await self._read(lambda tx: windows.next_end(tx, now))

    # ------------------------------------------------------------------------------------------------ ledgers

    async def open_gap(self, gap: Gap) -> int:
        """Enter a gap; return its number."""
        return ledger.tell_gap(await self._write(lambda tx: ledger.open_gap(tx, gap)), gap)

    async def close_gap(self, gap: int, end: Stamp) -> None:
        """End a gap."""
        ledger.tell_ended(gap, await self._write(lambda tx: ledger.close_gap(tx, gap, end)))

    async def open_gaps(self) -> tuple[LedgerGap, ...]:
        """Return the gaps that have no end, oldest first."""
        return await self._read(ledger.open_gaps)

    async def gaps(self, limit: int = 50) -> tuple[LedgerGap, ...]:
        """Return the newest gaps, newest first."""
        return await self._read(lambda tx: ledger.gaps(tx, limit))

    async def unreported_gaps(self, limit: int = 64) -> tuple[LedgerGap, ...]:
        """Return gaps whose present state no heartbeat told, oldest first."""
        return await self._read(lambda tx: ledger.unreported_gaps(tx, limit))

    async def report_gaps(self, told: Sequence[LedgerGap]) -> None:
        """Note that a heartbeat told these gaps."""
        await self._write(lambda tx: ledger.report_gaps(tx, told))

    async def add_loss(self, loss: Loss) -> None:
        """Enter a loss."""
        await self._write(lambda tx: ledger.add_loss(tx, loss))

    async def losses(self, limit: int = 50) -> tuple[Loss, ...]:
        """Return the newest losses, newest first."""
        return await self._read(lambda tx: ledger.losses(tx, limit))

    async def count_losses(self) -> int:
        """Return how many losses there are."""
        return await self._read(ledger.count_losses)

    # ------------------------------------------------------------------------------------ files and the whole

    async def kept_files(self) -> tuple[StoredFile, ...]:
        """Return every file that is not deleted, read page by page so that no other reader waits long."""
        found: list[StoredFile] = []
        after = 0
        while True:
            page, after = await self._read(lambda tx, after=after: files.kept(tx, self.root, after, _PAGE))  # type: ignore[misc]
            found += page
            if len(page) < _PAGE:
                return tuple(found)

    async def kept_bytes(self) -> int:
        """Return the size of all files that are not deleted."""
        return await self._read(files.kept_bytes)

    async def deleted_files(self) -> tuple[tuple[Path, int, str], ...]:
        """Return where the deleted files lay, with their sizes and SHA-256."""
        return await self._read(lambda tx: files.deleted(tx, self.root))

    async def delete_file(self, file: str, reason: str) -> bool | None:
        """Note that a file is gone or about to go; True if that is a loss, False if it was proven, None if known."""
        now = self._now()
        return await self._write(lambda tx: files.delete(tx, file, reason, now))

    async def enqueue(self, drafts: Sequence[Draft]) -> int:
        """Enter deliveries that were missed; return how many are new."""
        now = self._now()
        return await self._write(lambda tx: deliveries.insert(tx, drafts, now))

    async def tell_losses(self, destinations: Sequence[str]) -> int:
        """Draft one alert about the losses of which nobody was told yet; return how many those are."""
        if not await self._read(ledger.any_untold_loss):
            return 0
        now = self._now()
        return await self._write(lambda tx: notices.tell_losses(tx, destinations, now))

    async def prune(self, keep: float) -> int:
        """Delete the rows of what was finished more than `keep` seconds ago; return how many."""
        now = self._now()
        return await self._write(lambda tx: pruning.prune(tx, keep, now))

    async def counts(self) -> Counts:
        """Count deliveries by what became of them."""
        return await self._read(queries.counts)

    async def backlog(self, destination: str | None = None) -> Backlog:
        """Return what waits for `destination`, or for any."""
        return await self._read(lambda tx: queries.backlog(tx, destination))

    async def is_waiting(self, destination: str | None = None) -> bool:
        """Return whether anything waits for `destination`, or for any."""
        return await self._read(lambda tx: queries.is_waiting(tx, destination))

    async def sequence(self) -> int:
        """Return a number that rises with what is committed and never falls."""
        return await self._read(queries.sequence)

    async def correct_clock(self, now: Stamp) -> bool:
        """Correct the untrusted instants of this boot by a trusted one; False if that was done before."""
        return await self._write(lambda tx: queries.correct_clock(tx, now))

    # ------------------------------------------------------------------------------------------------ private

    def _now(self) -> Stamp:
        return stamp(self._clock)

    async def _read(self, query: Callable[[Connection], T]) -> T:
        return await self.database.read(query)

    async def _write(self, transaction: Callable[[Connection], T]) -> T:
        return await self._run(transaction, lambda _: ())

    async def _settle(self, delivery: int, transaction: Callable[[Connection], T]) -> T:
        """Run a transaction over what becomes of a delivery, and note whose sidecars it leaves behind the rows."""
        return await self._run(transaction, lambda tx: deliveries.incidents_told(tx, delivery))

    async def _run(self, transaction: Callable[[Connection], T], told: Callable[[Connection], Collection[str]]) -> T:
        loop = asyncio.get_running_loop()
        changes, incidents_told = 0, frozenset[str]()

        def watched(tx: Connection) -> T:
            nonlocal changes, incidents_told
            before = tx.total_changes
            result = transaction(tx)
            changes = tx.total_changes - before
            incidents_told = frozenset(told(tx))
            return result

        def after() -> None:
            # from the database's thread: committed work is noticed though its caller was cancelled
            if changes:
                loop.call_soon_threadsafe(self._notice, incidents_told)

        return await self.ballast.ease(lambda: self.database.run(watched, after=after))

    def _notice(self, incidents_told: Collection[str]) -> None:
        self.commits += 1
        self.undescribed.update(incidents_told)
        for event in self._subscribers:
            event.set()
