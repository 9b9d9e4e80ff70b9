"""Logs: one event per line, JSON or key=value, with journald's priorities when the journal listens."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import structlog

from edged.base.secret import Secret

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# sd-daemon(3): a leading <N> gives the line its syslog priority
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2, "exception": 3}


def configure(*, style: str, level: str) -> None:
    """Set logging up once: `style` is "json" or "text", `level` a name such as "info"."""
    renderer: Any = (
        structlog.processors.JSONRenderer(sort_keys=False)
        if style == "json"
        else structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception_in_line,
            _mask_secrets,
            *((renderer, _with_priority) if "JOURNAL_STREAM" in os.environ else (renderer,)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)


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
