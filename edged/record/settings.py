"""The section [record]: how much is kept before, during and after an incident, and in what pieces."""

from __future__ import annotations

from dataclasses import dataclass

from edged.base.config import Duration, Size


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordSettings:
    """What each camera's recorder keeps and writes."""

    # Pictures kept from before the first motion, back to the key frame before that.
    pre_roll: Duration = Duration(5)
    # Kept beyond the pre-roll while the detector makes up its mind.
    margin: Duration = Duration(3)
    # Most memory of a camera's pre-roll; beyond it whole groups of pictures go, oldest first.
    ring: Size = Size(48_000_000)
    # Most memory of what waits to be written while a disk is slow; beyond it whole groups go and a gap is entered.
    backlog: Size = Size(32_000_000)
    # Longest clip part; cut at key frames, so a camera with rarer ones makes longer parts.
    part: Duration = Duration(30)
    # Pictures are on the disk, playable, at least this often: what a power cut may cost.
    fragment: Duration = Duration.parse("500ms")
    # Without pictures for so long the open part is sealed and sent; the incident stays open.
    silence: Duration = Duration(5)
    # After a disk error no new part is begun for so long.
    pause_after_error: Duration = Duration(10)
    # JPEG quality and greatest width in pixels of snapshots.
    snapshot_quality: int = 85
    snapshot_width: int = 1280
    # An alert goes without its picture rather than wait longer for it than this.
    snapshot_wait: Duration = Duration.parse("300ms")

    def __post_init__(self) -> None:
        """Refuse combinations that can't work; ValueError names the key."""
        if not Duration(0.1) <= self.fragment <= Duration(2):
            raise ValueError("fragment: must be from 100ms to 2s: it is what a power cut may cost")
        if self.part < 2 * self.fragment:
            raise ValueError("part: must be at least twice as long as a fragment")
        if self.ring < Size(1_000_000):
            raise ValueError("ring: must be at least 1MB, or a group of pictures has no room")
        if self.backlog < Size(1_000_000):
            raise ValueError("backlog: must be at least 1MB, or a group of pictures has no room")
        if not 1 <= self.snapshot_quality <= 100:  # noqa: PLR2004 -- JPEG's own scale
            raise ValueError("snapshot_quality: must be from 1 to 100")
        if self.snapshot_width < 160:  # noqa: PLR2004 -- less shows nobody
            raise ValueError("snapshot_width: must be at least 160 pixels")
