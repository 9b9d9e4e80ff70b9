"""The world of one device: everything it consists of, built from its configuration and let go in order."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING

import structlog

from edged.app.arming import Arming
from edged.app.eyes import Eye, Surroundings
from edged.app.farewell import Farewell
from edged.app.helper import Helper
from edged.app.notices import Notices
from edged.app.outward import Outward
from edged.app.presence import Presence, runtime_directory
from edged.app.resort import LastResort
from edged.base.clock import stamp
from edged.base.errors import EdgedError
from edged.base.systemd import watchdog_interval
from edged.outbox.loop import OutboxLoop
from edged.outbox.nouns import AlertRules
from edged.outbox.policy import Destinations
from edged.outbox.spool import Spool
from edged.outbox.store import open_outbox
from edged.record.salvage import salvage
from edged.supervise.firmware import FirmwareWatch
from edged.supervise.lag import LagMeter
from edged.supervise.supervisor import Supervisor
from edged.supervise.watchdog import Evidence, Limits, Watchdog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from edged.base.clock import Clock, Stamp
    from edged.base.systemd import Notifier
    from edged.channels.session import Endpoint
    from edged.model import Health
    from edged.outbox.store import Outbox
    from edged.push.line import Credentials
    from edged.settings import DeviceConfig

log = structlog.get_logger(__name__)

_WATCH = 10.0  # seconds between the watchdog's looks where systemd asks for none
_PROBE = 5.0  # seconds that the database may take to give its write lock


def destinations_of(config: DeviceConfig) -> Destinations:
    """Return where the configuration wants what delivered."""
    return Destinations(
        recipients=config.alerts.recipients,
        receiver=config.receiver is not None,
        folders=tuple(config.folders),
        manual=config.push.upload == "manual",
    )


def _rules(config: DeviceConfig) -> AlertRules:
    return AlertRules(cooldown=config.alerts.cooldown, cap_per_hour=config.alerts.cap_per_hour)


def _limits(config: DeviceConfig) -> Limits:
    return Limits(lag=config.supervise.lag, camera=config.supervise.camera)


class World:
    """Everything one device consists of; `open_world` makes it."""

    def __init__(self, config: DeviceConfig, clock: Clock, spool: Spool, outbox: Outbox, notifier: Notifier) -> None:
        self.config = config
        self.clock = clock
        self.spool = spool
        self.outbox = outbox
        self.started = clock.mono()
        self.draining = False
        self.refused = ""  # what is wrong with the configuration file as it was last read
        self.pending: tuple[str, ...] = ()  # changed settings that need a restart
        self.left = ""  # why the world has to end by itself
        self._on_leave: list[Callable[[], None]] = []
        self.destinations = destinations_of(config)
        self.lag = LagMeter()
        self.firmware = FirmwareWatch()
        self.arming = Arming(
            spool.root / "arming.json",
            config.cameras,
            schedule=config.alerts.armed,
            timezone=config.device.timezone,
            clock=clock,
        )
        self.farewell = Farewell(outbox, clock, state=spool.root, timezone=config.device.timezone)
        self.helper = Helper(clock, runtime=runtime_directory(), on_no_reboot=self.farewell.forget)
        self.upkeep = OutboxLoop(outbox, spool, settings=config.outbox, destinations=self.destinations, clock=clock)
        around = Surroundings(
            outbox=outbox,
            spool=spool,
            clock=clock,
            record=config.record,
            destinations=self.destinations,
            rules=_rules(config),
            why_silent=self.arming.why_silent,
            has_room=self.upkeep.has_room,
            ask_reset=self.helper.reset,
        )
        self.eyes = {name: Eye(name, section, around) for name, section in config.cameras.items()}
        self.outward = Outward(config, outbox, clock, health=self.health, space=lambda: self.upkeep.space)
        people = self.destinations.people
        self.notices = Notices(
            outbox,
            clock,
            health=self.health,
            lost_after=config.supervise.camera_lost,
            blind_after=config.supervise.camera_blind,
            people=people,
            ledger=spool.root / "lost.json",
        )
        self.presence = Presence(
            outbox,
            clock,
            health=self.health,
            pictures=self.pictures,
            state=spool.root,
            runtime=runtime_directory(),
        )
        self.resort = LastResort(
            config.recovery, clock, health=self.health, leave=self.leave, helper=self.helper, farewell=self.farewell
        )
        self.watchdog = Watchdog(
            notifier,
            interval=(watchdog_interval() or 2 * _WATCH) / 2,
            limits=_limits(config),
            gather=self._evidence,
            status=self.status,
        )
        self.supervisor = Supervisor((), clock)  # the daemon gives it the table of tasks
        outbox.database.on_damage = self._leave_damaged

    def adopt(self, config: DeviceConfig, endpoints: Sequence[Endpoint], credentials: Credentials | None) -> None:
        """Go on by another configuration in what can change meanwhile (`changes` says what); nothing here waits.

        `endpoints` and `credentials` are what its secrets hold now, None for credentials that stay.
        """
        self.destinations = destinations_of(config)
        self.arming.adopt(config.alerts.armed)
        self.upkeep.adopt(config.outbox, self.destinations)
        for name, eye in self.eyes.items():
            eye.adopt(config.cameras[name], self.destinations, _rules(config))
        self.outward.adopt(config, endpoints, credentials)
        limits = config.supervise
        self.notices.adopt(
            lost_after=limits.camera_lost, blind_after=limits.camera_blind, people=self.destinations.people
        )
        self.resort.adopt(config.recovery)
        self.watchdog.adopt(_limits(config))
        self.config = config  # last: what a defect kept a stage from adopting is a change again at the next reload

    def health(self) -> dict[str, Health]:
        """Return the health of every camera that is being watched."""
        return {name: eye.capture.health for name, eye in self.eyes.items() if not eye.capture.finished}

    def pictures(self) -> dict[str, float]:
        """Return when (mono) each camera's newest picture came; a file that is played to its end counts as none."""
        eyes = ((name, eye.capture.picture) for name, eye in self.eyes.items() if not eye.settings.ends)
        return {name: picture.mono for name, picture in eyes if picture is not None}

    def now(self) -> Stamp:
        """Return the present instant."""
        return stamp(self.clock)

    def uptime(self) -> float:
        """Return seconds since the world was built."""
        return self.clock.mono() - self.started

    def status(self) -> str:
        """Return the line that `systemctl status` shows."""
        health = self.health()
        well = sum(state.delivering for state in health.values())
        open_now = sum(eye.recorder.incident is not None for eye in self.eyes.values())
        link = self.outward.link.link.state if self.outward.link is not None else "not configured"
        return f"{well} of {len(health)} cameras deliver, {open_now} incidents open, receiver {link}"

    def leave(self, reason: str) -> None:
        """Have the daemon end in order, with `reason` in its log, for systemd to start it anew."""
        self.left = reason
        for listener in self._on_leave:
            listener()

    def _leave_damaged(self, reason: str) -> None:
        # the next start sets it aside and goes on from its copy and the files; in this one no row would be taken
        if not self.left:
            log.critical("database damaged while in use, edged starts anew", reason=reason)
            self.leave(reason)

    def on_leave(self, listener: Callable[[], None]) -> None:
        """Have `listener` called when the world has to end by itself."""
        self._on_leave.append(listener)

    async def _evidence(self) -> Evidence:
        return Evidence(
            lag=self.lag.newest(),
            tasks=self.supervisor.states(),
            database=await self._database_trouble(),
            camera_ages={name: eye.capture.idle() for name, eye in self.eyes.items() if not eye.capture.finished},
        )

    async def _database_trouble(self) -> str:
        try:
            async with asyncio.timeout(_PROBE):
                await self.outbox.database.probe()
        except TimeoutError:
            return f"no answer within {_PROBE:g} s"
        except (sqlite3.Error, EdgedError) as error:
            return str(error)
        return ""


@contextlib.asynccontextmanager
async def open_world(config: DeviceConfig, clock: Clock, notifier: Notifier) -> AsyncIterator[World]:
    """Take the state directory, open the outbox, salvage what a crash left, and build the world.

    Raises AlreadyRunningError, NewerSchemaError, ConfigError (a secret can't be had), OSError (the directory).
    """
    spool = Spool(config.device.state, require_mount=config.device.require_mount)
    await asyncio.to_thread(spool.prepare)
    with spool.lock():
        outbox = await open_outbox(spool.database, clock)
        try:
            await salvage(outbox, spool, destinations_of(config))
            # on a thread: it reads secrets and certificates
            world = await asyncio.to_thread(World, config, clock, spool, outbox, notifier)
            await world.arming.load()
            await world.presence.begin()
            await world.farewell.tell(world.destinations.people)
            yield world
        finally:
            await outbox.close()
