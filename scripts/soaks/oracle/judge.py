"""The law: every obligation against what both ends and the mailbox hold, once everything under way has ended.

Nothing may be missing that the log promised, unless the device's loss ledger owns up to it; nothing may be there twice;
everything that is there must be what it claims; and nothing may be left over.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from scripts.soaks.oracle.device import Device
    from scripts.soaks.oracle.mails import Mail
    from scripts.soaks.oracle.promises import Promises
    from scripts.soaks.oracle.receiver import Receiver

Kind = Literal["lost", "duplicated", "possible_duplicate", "corrupt", "left_over"]
Row = dict[str, Any]

_FRAME = 0.15  # seconds: the last frame's duration may be rounded, or not be known
_START = 1.0  # seconds that a camera's first picture may come before the device calls itself ready


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One breach of the law: of which kind, what it is about (the same breach has the same words), and a sentence."""

    kind: Kind
    what: str
    text: str


def judge(
    promises: Promises,
    device: Device,
    receiver: Receiver,
    mails: Sequence[Mail],
    absences: Sequence[tuple[float, float]] = (),
) -> list[Finding]:
    """Return every breach; nothing is under way any more, and every delivery could have been made.

    `absences` are the times (Unix seconds) in which the device did not run, up to its last start.
    """
    broken = list(chain(_databases(device, receiver)))
    if broken:
        return broken
    law = _Law(promises, device, receiver, mails)
    return list(
        chain(
            law.incidents(),
            law.clips(),
            law.seconds(),
            law.gaps(absences),
            law.deletions(),
            law.alerts(),
            law.counts(),
            law.twice(),
            law.mails_again(),
            law.left_over(),
        )
    )


def _databases(device: Device, receiver: Receiver) -> Iterator[Finding]:
    for name, complaint in (("device", device.database), ("receiver", receiver.database)):
        if complaint:
            yield Finding(
                kind="corrupt", what=f"database {name}", text=f"the {name}'s database is damaged: {complaint}"
            )


class _Law:
    """The rules over one state of the world; each yields its breaches."""

    def __init__(self, promises: Promises, device: Device, receiver: Receiver, mails: Sequence[Mail]) -> None:
        self._promises = promises
        self._device = device
        self._receiver = receiver
        self._mails = mails
        self._incidents = {row["id"]: row for row in device.incidents}
        self._arrived = {(row["incident"], row["kind"], row["part"]): row for row in receiver.files}
        self._of = _by(device.deliveries, "subject")
        self._files = {(row["incident"], row["what"], row["number"]): row for row in device.files}
        self._by_id = {row["id"]: row for row in device.files}
        self._losses = {(row["what"], row["name"], row["incident"]) for row in device.losses}
        self._recipients = sorted({mail.recipient for mail in mails} | _addresses(device.deliveries))

    def incidents(self) -> Iterator[Finding]:
        """Each incident that was promised or is in the rows is at the receiver."""
        there = {row["id"] for row in self._receiver.incidents}
        for incident in {**dict.fromkeys(self._incidents), **self._promises.cameras}:
            if incident not in self._incidents:
                yield _lost(f"row {incident}", f"incident {incident} was logged as opened and has no row on the device")
            if incident not in there and not self._gave_up(incident):
                yield _lost(f"incident {incident}", f"incident {incident} is not at the receiver")

    def clips(self) -> Iterator[Finding]:
        """Each file of the device is at the receiver with the same bytes, which play; what it keeps is unchanged."""
        for row in self._device.files:
            name = f"{row['what']} {row['number']} of incident {row['incident']}"
            if row["deleted"] is None and row["found"] != row["sha256"]:
                how = "changed" if row["found"] else "is missing"
                yield Finding(kind="corrupt", what=f"device {row['path']}", text=f"{name} {how} on the device's disk")
            arrived = self._arrived.get((row["incident"], row["what"], row["number"]))
            if arrived is not None and arrived["sha256"] != row["sha256"]:
                yield Finding(kind="corrupt", what=name, text=f"{name} has another SHA-256 at the receiver")
            elif arrived is None and row["what"] != "document" and not self._is_loss(row):
                yield _lost(name, f"{name} is not at the receiver")
        for row in self._receiver.files:
            yield from self._content(row)

    def _content(self, row: Row) -> Iterator[Finding]:
        name = f"{row['kind']} {row['part']} of incident {row['incident']}"
        content = self._receiver.contents.get(row["sha256"])
        if content is None:
            yield _lost(f"content {row['sha256']}", f"{name} has a row at the receiver, and no content")
        elif content.sha256 != row["sha256"]:
            text = f"the receiver's content of {name} is not what its name says"
            yield Finding(kind="corrupt", what=f"content {row['sha256']}", text=text)
        elif row["kind"] == "clip" and content.seconds < row["seconds"] - _FRAME:
            text = f"{name} plays {content.seconds:.2f} s at the receiver, not {row['seconds']:.2f} s"
            yield Finding(kind="corrupt", what=f"playing {row['sha256']}", text=text)

    def seconds(self) -> Iterator[Finding]:
        """Each second of a clip that was synced is in the clip at the receiver."""
        for (incident, number), promised in self._promises.seconds.items():
            arrived = self._arrived.get((incident, "clip", number))
            content = None if arrived is None else self._receiver.contents.get(arrived["sha256"])
            played = 0.0 if content is None else content.seconds
            row = self._files.get((incident, "clip", number))
            if played < promised - _FRAME and not (row and self._is_loss(row)):
                text = (
                    f"of part {number} of incident {incident} {promised:.2f} s were on the disk, {played:.2f} s arrived"
                )
                yield _lost(f"seconds {incident} {number}", text)

    def gaps(self, absences: Sequence[tuple[float, float]]) -> Iterator[Finding]:
        """Each time in which the device did not run stands in the ledger of gaps, for each camera that it had."""
        ledger = _by(self._device.gaps, "camera")
        for camera, first in self._promises.first.items():
            known = sorted((row["start_wall"], row["end_wall"] or inf) for row in ledger.get(camera, ()))
            for died, back in absences:
                if died > first and (missing := _uncovered(died, back - _START, known)) > 0.0:
                    text = f"camera {camera} had no pictures for {missing:.1f} s from {died:.1f} on, and no gap says so"
                    yield _lost(f"gap {camera} {died:.1f}", text)

    def deletions(self) -> Iterator[Finding]:
        """Each file that is gone from the device has a receipt for its bytes, or stands in the loss ledger."""
        for row in self._device.files:
            if row["deleted"] is not None and not self._is_proven(row) and not self._is_loss(row):
                text = f"{row['path']} was deleted without a receipt and without an entry in the loss ledger"
                yield _lost(f"proof {row['path']}", text)

    def alerts(self) -> Iterator[Finding]:
        """Each recipient was told of each incident that raises an alert, in a mail of its own, a digest or a count."""
        told = {(mail.recipient, incident) for mail in self._mails for incident in mail.incidents}
        sent = {(mail.recipient, mail.message_id) for mail in self._mails}
        again = [notice["id"] for notice in self._device.notices if notice["kind"] == "recovered"]
        recovered = {_address(row) for notice in again for row in self._of.get(notice, ()) if self._was_sent(row, sent)}
        for row in self._incidents.values():
            for recipient in self._recipients if row["held"] == "" else ():
                counted = recipient in recovered and row["id"] not in self._of  # entered again: told by number
                if (recipient, row["id"]) not in told and not counted:
                    text = f"{recipient} was not told of incident {row['id']}"
                    yield _lost(f"alert {row['id']} {recipient}", text)
        for notice in self._device.notices:
            for delivery in self._of.get(notice["id"], ()):
                if not self._was_sent(delivery, sent):
                    text = f"{delivery['destination']} was not told the {notice['kind']} notice {notice['id']}"
                    yield _lost(f"notice {delivery['key']}", text)

    def counts(self) -> Iterator[Finding]:
        """Each incident that was held back is counted in one summary, or will be when its window ends."""
        # without a notice: found again after the database was lost, told by number
        held = _by((row for row in self._incidents.values() if row["held"] and row["notice"]), "notice")
        ends = {row["id"]: row["count"] for row in self._device.notices}
        open_yet = {row["notice"] for row in self._device.windows}
        for summary, incidents in held.items():
            told = ends.get(summary, len(incidents) if summary in open_yet else 0)
            if told != len(incidents):
                text = f"{len(incidents)} incidents were held back for the summary {summary}, which counts {told}"
                yield _lost(f"count {summary}", text)
        counts = {mail.message_id[1:].partition("@")[0]: mail.count for mail in self._mails if mail.kind == "summary"}
        for notice in self._device.notices:
            for delivery in self._of.get(notice["id"], ()):
                told = counts.get(delivery["key"], notice["count"])
                if told != notice["count"]:
                    text = f"the summary {delivery['key']} told of {told} incidents instead of {notice['count']}"
                    yield _lost(f"told count {delivery['key']}", text)

    def twice(self) -> Iterator[Finding]:
        """Each file, and each telling of an incident, is there once."""
        files = Counter((row["owner"], row["incident"], row["kind"], row["part"]) for row in self._receiver.files)
        for (_, incident, kind, number), count in files.items():
            if incident is not None and count > 1:
                text = f"{kind} {number} of incident {incident} is {count} times at the receiver"
                yield Finding(kind="duplicated", what=f"{kind} {number} {incident}", text=text)
        mails = {(mail.recipient, mail.message_id): mail for mail in self._mails}.values()
        tellings = Counter((mail.recipient, incident) for mail in mails for incident in mail.incidents)
        for (recipient, incident), count in tellings.items():
            if count > 1:
                text = f"{recipient} was told of incident {incident} in {count} different mails"
                yield Finding(kind="duplicated", what=f"alert {incident} {recipient}", text=text)

    def mails_again(self) -> Iterator[Finding]:
        """The same mail again is what SMTP can't rule out: counted apart."""
        copies = Counter((mail.recipient, mail.message_id) for mail in self._mails)
        for (recipient, identity), count in copies.items():
            if count > 1:
                text = f"{recipient} got the mail {identity} {count} times"
                yield Finding(kind="possible_duplicate", what=f"mail {identity} {recipient}", text=text)

    def left_over(self) -> Iterator[Finding]:
        """Nothing waits, nothing is open, nothing lies about.

        The receiver may keep the beginning of a file that the device had to give up; it throws it away in time.
        """
        yield from self._under_way()
        begun = {f"partial/{row['id']}" for row in self._receiver.uploads if self._was_given_up(row["key"])}
        for end, strays in (("device", self._device.strays), ("receiver", self._receiver.strays)):
            for path in set(strays) - begun:
                yield _left(f"{end} {path}", f"{path} lies about at the {end}")
        for path in self._device.sidecars:
            yield _left(f"sidecar {path}", f"{path} has no sidecar that can be read")

    def _under_way(self) -> Iterator[Finding]:
        for row in self._device.incidents:
            if row["closed_wall"] is None:
                yield _left(f"incident {row['id']}", f"incident {row['id']} is still open on the device")
        for row in self._device.deliveries:
            file = self._by_id.get(row["subject"])
            if row["state"] not in {"done", "dropped"} and not (file and self._is_loss(file)):
                why = f": {row['last_error']}" if row["last_error"] else ""
                text = f"{row['kind']} to {row['destination']} is {row['state']} ({row['key']}){why}"
                yield _left(f"delivery {row['key']}", text)
        for row in self._device.gaps:
            if row["end_wall"] is None:
                yield _left(f"gap {row['id']}", f"the gap of camera {row['camera']} ({row['reason']}) never ended")
        for row in (row for row in self._receiver.uploads if not self._was_given_up(row["key"])):
            yield _left(f"upload {row['id']}", f"upload {row['id']} is unfinished at the receiver")

    def _was_given_up(self, key: str) -> bool:
        """Return whether the file of the delivery `key` was deleted and stands in the loss ledger."""
        subjects = (self._by_id.get(row["subject"]) for row in self._device.deliveries if row["key"] == key)
        return any(file is not None and file["deleted"] is not None and self._is_loss(file) for file in subjects)

    def _gave_up(self, incident: str) -> bool:
        """Return whether the loss ledger tells of something of `incident`."""
        return any(of == incident for _, _, of in self._losses)

    def _is_loss(self, row: Row) -> bool:
        return (row["what"], row["name"], row["incident"]) in self._losses

    def _is_proven(self, row: Row) -> bool:
        for delivery in self._of.get(row["id"], ()):
            receipt = json.loads(delivery["receipt"] or "{}")
            same = (receipt.get("sha256"), receipt.get("size")) == (row["sha256"], row["size"])
            if delivery["state"] == "done" and delivery["proven"] and same and receipt.get("proof") != "claimed":
                return True
        return False

    def _was_sent(self, delivery: Row, sent: set[tuple[str, str]]) -> bool:
        """Return whether the mailbox holds the mail of `delivery`, or the digest that carried it."""
        if delivery["state"] == "dropped":
            return True
        keys = {delivery["key"]}
        keys |= {row["key"] for row in self._device.deliveries if row["id"] == delivery["carrier"]}
        return any(
            recipient == _address(delivery) and identity[1:].partition("@")[0] in keys for recipient, identity in sent
        )


def _uncovered(start: float, end: float, known: Sequence[tuple[float, float]]) -> float:
    """Return how many seconds from `start` to `end` no interval covers; `known` is sorted."""
    missing = 0.0
    for since, until in known:
        if since < end and until > start:
            missing += max(0.0, since - start)
            start = max(start, until)
    return missing + max(0.0, end - start)


def _by(rows: Iterable[Row], column: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[column], []).append(row)
    return found


def _address(delivery: Row) -> str:
    return str(delivery["destination"]).removeprefix("mail:")


def _addresses(deliveries: Iterable[Row]) -> set[str]:
    return {_address(row) for row in deliveries if str(row["destination"]).startswith("mail:")}


def _lost(what: str, text: str) -> Finding:
    return Finding(kind="lost", what=what, text=text)


def _left(what: str, text: str) -> Finding:
    return Finding(kind="left_over", what=what, text=text)
