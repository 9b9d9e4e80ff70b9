"""Errors by what the caller should do about them; each border (HTTP, SMTP, files, SQL) maps into these once.

`DeliveryError` and what is below it decide a delivery's fate; the others end a command or degrade a task.
Every text says what is wrong, where, and what to do, and carries no secret.
"""

from __future__ import annotations

from dataclasses import dataclass


class EdgedError(Exception):
    """The root of everything edged raises on purpose."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """One mistake in a configuration: the dotted `key` and a sentence about it."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


class ConfigError(EdgedError):
    """The configuration can't be used; `mistakes` holds every one found."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes


class CorruptDatabaseError(EdgedError):
    """A database file is damaged: set it aside and rebuild it."""


class NewerSchemaError(EdgedError):
    """A database was written by a newer edged: refuse to touch it."""


class AlreadyRunningError(EdgedError):
    """Another process holds the state directory."""


class CameraError(EdgedError):
    """A camera can't be opened or read; the recovery ladder decides what follows."""


class DeliveryError(EdgedError):
    """A delivery did not succeed this time. `retry_after`: seconds until its destination may be tried, where known."""

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class NoAnswerError(DeliveryError):
    """Nothing came back: no fault of the delivery, so it costs no attempt."""


class PossiblySentError(NoAnswerError):
    """Everything was sent and the answer is missing: the peer may have it (RFC 1047)."""


class RefusedError(DeliveryError):
    """The peer refused for now: costs an attempt, unless it named a time."""


class RejectedError(DeliveryError):
    """The peer refused for good: the delivery is dead until a person re-drives it."""


class CredentialsError(DeliveryError):
    """The peer does not accept the key or password: pause the destination and say so."""


class UploadGoneError(DeliveryError):
    """The peer has forgotten the upload: create it anew."""


class FileLostError(DeliveryError):
    """The file to deliver is missing or changed on this device: enter a loss and tell it."""
