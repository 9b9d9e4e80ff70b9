"""The settings of alerts and of the outbox."""

from __future__ import annotations

from dataclasses import dataclass

from edged.base.config import Duration, Share, Size
from edged.channels.address import check_address


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertSettings:
    """[alerts]: who is told, when, and how often at most."""

    # Mail addresses; each gets a mail of its own.
    recipients: tuple[str, ...] = ()
    # When incidents raise alerts, in the device's time zone, such as "mo-fr 20:00-06:00"; empty is always.
    armed: tuple[str, ...] = ()
    # After an alert, more of the same camera, zone and kind are told in one summary at the end of this time. 0s: never.
    cooldown: Duration = Duration(60.0)
    # Alerts in any hour, over all cameras; what exceeds it is told in one summary. 0: no cap.
    cap_per_hour: int = 0
    # So many alerts to one address, or more, that could not be sent for so long go out in one mail.
    digest_from: int = 3
    digest_after: Duration = Duration(120.0)

    def __post_init__(self) -> None:
        """Refuse what can't be meant."""
        for address in self.recipients:
            try:
                check_address(address)
            except ValueError as error:
                raise ValueError(f"recipients: {error}") from error
        if len(set(self.recipients)) != len(self.recipients):
            raise ValueError("recipients: an address is named twice")
        if self.cap_per_hour < 0:
            raise ValueError("cap_per_hour: must be 0 (no cap) or more")
        if self.digest_from < 2:  # noqa: PLR2004 -- fewer would be no digest
            raise ValueError("digest_from: must be 2 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxSettings:
    """[outbox]: how much disk edged may use, how long it keeps what, how often it looks after itself."""

    # Most bytes of clips, snapshots and documents together; 0B: only the free space limits them.
    quota: Size = Size(0)
    # Free space under which it is said and proven files go, oldest first; and under which incidents go on with a
    # snapshot only. Of share and size the smaller counts: 5 % of a large disk is room enough.
    warn_share: Share = Share(0.10)
    warn_free: Size = Size(4_000_000_000)
    critical_share: Share = Share(0.05)
    critical_free: Size = Size(2_000_000_000)
    # How long clips and documents are kept after they are proven to be elsewhere, and snapshots after they were taken.
    keep_clips: Duration = Duration(30 * 86400.0)
    keep_snapshots: Duration = Duration(90 * 86400.0)
    # Delete a clip as soon as it is proven to be elsewhere.
    delete_after_proof: bool = False
    # Delete undelivered files, too, where space is critical or the quota used up: lowest value first, each entered as
    # a loss. Without it that happens only when the disk is all but full. A box without a receiver needs it to record
    # in a ring: nothing there is ever proven elsewhere.
    delete_undelivered: bool = False
    # The law's limit: nothing is kept longer, proven or not. 0s: none.
    legal_limit: Duration = Duration(0.0)
    # How long rows of finished deliveries, reported gaps and incidents without files are kept.
    keep_rows: Duration = Duration(365 * 86400.0)
    # How often rows, files and receipts are compared, and the database is checked and copied.
    sweep_interval: Duration = Duration(30 * 60.0)
    backup_interval: Duration = Duration(6 * 3600.0)

    def __post_init__(self) -> None:
        """Refuse impossible combinations."""
        if self.critical_share > self.warn_share:
            raise ValueError("critical_share: must not be above warn_share")
        if self.critical_free > self.warn_free:
            raise ValueError("critical_free: must not be above warn_free")
        if self.sweep_interval <= 0.0 or self.backup_interval <= 0.0:
            raise ValueError("sweep_interval: this and backup_interval must be above zero")
