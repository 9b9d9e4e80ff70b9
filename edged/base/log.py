"""Logs: one event per line, JSON or key=value; in systemd's journal each event with its fields.

Under systemd, events go to the journal natively (base/journal): MESSAGE holds the line, EDGED_EVENT the event,
MESSAGE_ID its kind, and each key has a field of its own, such as EDGED_CAMERA, EDGED_INCIDENT and EDGED_DELIVERY.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import structlog

from edged.base import journal as journals
from edged.base.secret import Secret

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from typing import NoReturn

    from edged.base.journal import Journal

# as syslog(3) has them; sd-daemon(3): a leading <N> gives the line that priority
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2, "exception": 3}
_JSON = structlog.processors.JSONRenderer(sort_keys=False)
_LINE = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False)
_PAIRS = structlog.processors.LogfmtRenderer(bool_as_flag=False)

_journal: Journal | None = None


def configure(*, style: str, level: str, identifier: str = "edged") -> None:
    """Set logging up once: `style` is "json" or "text", `level` a name such as "info", `identifier` the program."""
    global _journal  # noqa: PLW0603 -- a process has one log
    _journal = journals.from_environment()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _exception_in_line,
            _mask_secrets,
            *(_to_stderr(style) if _journal is None else (_ToJournal(_journal, style, identifier),)),
        ],
        wrapper_class=_wrapper(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Library()], force=True)


def set_level(level: str) -> None:
    """Tell from now on what is of `level` or worse, a name such as "info"."""
    structlog.configure(wrapper_class=_wrapper(level))


def _wrapper(level: str) -> type[structlog.typing.FilteringBoundLogger]:
    return structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()])


def dropped() -> int:
    """Return how many events the journal did not take."""
    return 0 if _journal is None else _journal.dropped


def _to_stderr(style: str) -> tuple[Any, ...]:
    lines = (structlog.processors.TimeStamper(fmt="iso", utc=True), _JSON if style == "json" else _LINE)
    return (*lines, _with_priority) if "JOURNAL_STREAM" in os.environ else lines


class _ToJournal:
    """The last processor: hands the event over with its fields; nothing is left to print."""

    def __init__(self, journal: Journal, style: str, identifier: str) -> None:
        self._journal = journal
        self._style = style
        self._identifier = identifier
        self._told = 0  # of the dropped events

    def __call__(self, logger: object, method: str, event: MutableMapping[str, Any]) -> NoReturn:
        level = str(event.pop("level", method))  # it is the priority already
        if self._send(logger, level, event) and self._journal.dropped > self._told:
            dropped, self._told = self._journal.dropped, self._journal.dropped
            self._send(logger, "warning", {"event": "journal dropped events", "since_start": dropped})
        raise structlog.DropEvent

    def _send(self, logger: object, level: str, event: MutableMapping[str, Any]) -> bool:
        """Send an event; True when the journal took it."""
        kind = str(event["event"])
        known = {key: value for key, value in event.items() if value is not None}
        fields = {journals.field_name(key): _plain(value) for key, value in known.items()}
        if self._style == "text":
            del known["event"]
            pairs = _PAIRS(logger, level, {key: _plain(value) for key, value in known.items()})
            message = f"{kind} {pairs}".rstrip()
        else:
            message = str(_JSON(logger, level, event))
        return self._journal.send(
            {
                "MESSAGE": message,
                "MESSAGE_ID": journals.message_id(kind),
                "PRIORITY": str(_PRIORITY.get(level, 6)),
                "SYSLOG_IDENTIFIER": self._identifier,
                **fields,
            }
        )


class _Library(logging.Handler):
    """What libraries log through the standard library, in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        say = structlog.get_logger(record.name).log
        say(
            record.levelno,
            "library",
            library=record.name,
            text=record.getMessage(),
            **({"exc_info": error} if error else {}),
        )


def _plain(value: object) -> str:
    """Return a value as people write it in a question to the journal: true, and door,yard without brackets."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _exception_in_line(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["error"] = f"{type(error).__name__}: {error}"
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        if last is not None:
            event["at"] = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}"
    return event


def _mask_secrets(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, Secret):
            event[key] = "***"
    return event


def _with_priority(_: object, method: str, line: Any) -> str:
    return f"<{_PRIORITY.get(method, 6)}>{line}"
