"""The privileged helper: does what edged has asked for, as far as root allows it, and ends.

edged-act.path starts it; see edged/act/asking.py for how it is asked and systemd/edged-act.service for what it may.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from edged.act.asking import ANSWERS, ASK
from edged.act.ledger import LEDGER
from edged.act.settings import CONFIG, ActConfig, load_act
from edged.act.usb import Bus
from edged.act.work import Places, work
from edged.base import log as logs
from edged.base.clock import SystemClock
from edged.base.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

log = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Take every request there is; return 0, or 1 when the configuration or a place can't be used."""
    options = _parser().parse_args(arguments)
    logs.configure(style="text", level="info", identifier="edged-act")
    os.umask(0o022)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # in order: a port that is off is switched on again
    code, config = 0, ActConfig()
    try:
        config = load_act(options.config)
    except ConfigError as error:
        log.error("nothing is allowed", config=str(options.config), reason=str(error))
        code = 1
    places = Places(ask=options.ask, answers=options.answers, ledger=options.ledger, bus=Bus(devices=options.devices))
    try:
        work(config, places, SystemClock())
    except OSError as error:
        log.error("requests can't be taken", path=error.filename, reason=error.strerror)
        code = 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edged.act", description=__doc__)
    for name, default in (
        ("config", CONFIG),
        ("ask", Path("/run/edged") / ASK),
        ("answers", ANSWERS),
        ("ledger", LEDGER),
        ("devices", Bus().devices),
    ):
        parser.add_argument(f"--{name}", type=Path, default=default, metavar="PATH", help="default: %(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
