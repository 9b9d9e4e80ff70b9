"""The ways out, wired: the line to the receiver with its probe and heartbeat, uploads, copies, and mail."""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from edged import __version__
from edged.channels.smtp import Mailer, resolve
from edged.model import Lane
from edged.outbox.policy import RECEIVER
from edged.push.alert import AlertSender, Letters, Links, no_link
from edged.push.heartbeat import HeartbeatSender, Vitals
from edged.push.line import Line, credentials_of
from edged.push.link import LinkWatch
from edged.push.loop import LaneWorker
from edged.push.probe import LinkProbe
from edged.push.targets.folder import FolderTarget
from edged.push.targets.tus import TusTarget
from edged.push.throttle import Pacer, scheduled_rate
from edged.push.traffic import Counters
from edged.push.transfers import Transfers
from edged.push.uploads import Uploader
from edged.push.verdict import gate_figures
from edged.wire.heartbeat import CameraReport

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from edged.base.clock import Clock
    from edged.channels.session import Endpoint
    from edged.model import Delivery, Health
    from edged.outbox.spool import Space
    from edged.outbox.store import Outbox
    from edged.push.errand import Target
    from edged.push.line import Credentials
    from edged.push.settings import ReceiverSettings
    from edged.push.transfers import Transfer
    from edged.settings import DeviceConfig

_ALERTS_AT_ONCE = 4  # mails under way: one hung recipient's relay must not hold the others up


class Outward:
    """Everything that sends. `health` and `space` are what the heartbeat tells of cameras and disk."""

    def __init__(
        self,
        config: DeviceConfig,
        outbox: Outbox,
        clock: Clock,
        *,
        health: Callable[[], Mapping[str, Health]],
        space: Callable[[], Space | None],
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._clock = clock
        self._health = health
        self._space = space
        self._started = clock.mono()
        self.transfers = Transfers()
        self.counters = Counters()
        self.link: LinkWatch | None = None
        self.probe: LinkProbe | None = None
        self.heartbeat: HeartbeatSender | None = None
        self._targets: dict[str, Target] = {}
        self._lines: list[Line] = []
        self._credentials: Credentials | None = None  # none without a receiver
        self._links: Callable[[str], str] = no_link
        zone = ZoneInfo(config.device.timezone)
        self._allowed = scheduled_rate(config.push, zone, clock)
        self.pacer = Pacer(self._allowed)
        for name, folder in config.folders.items():
            self._targets[f"folder:{name}"] = FolderTarget(name, folder, zone=zone, clock=clock)
        if config.receiver is not None:
            self._add_receiver(config.receiver)
        self.uploads = self._worker(Lane.BULK, config.push.parallel, away=self._away)
        self.mailer = self._mailer()
        self._sender = self._alert_sender()
        self.alerts = self._alert_worker(self._sender)

    # -------------------------------------------------------------------------------------------------- parts

    def _add_receiver(self, receiver: ReceiverSettings) -> None:
        """Make the line to the receiver and what uses it."""
        push, clock = self._config.push, self._clock
        self._credentials = credentials = credentials_of(receiver)
        self.link = link = LinkWatch(push.probe, clock, metered=push.metered)
        link.subscribe(self._link_changed)
        self._targets[RECEIVER] = TusTarget(
            receiver, credentials, pacer=self.pacer, link=link, counters=self.counters, clock=clock
        )
        probing = self._line(receiver, credentials)
        self.probe = LinkProbe(
            receiver.url,
            probing,
            link,
            settings=push,
            waiting=self._waiting,
            work=self._outbox.subscribe(),
            clock=clock,
        )
        if not credentials.signs:
            return
        self._links = self._links_to(receiver, credentials)
        self.heartbeat = HeartbeatSender(
            receiver.url,
            self._line(receiver, credentials),
            link,
            outbox=self._outbox,
            vitals=self._vitals,
            interval=float(push.heartbeat),
            clock=clock,
        )

    def _links_to(self, receiver: ReceiverSettings, credentials: Credentials) -> Links:
        return Links(
            page=receiver.page or receiver.url,
            device=receiver.device,
            key=credentials.key,
            valid=receiver.link_valid,
            clock=self._clock,
            ahead=lambda: credentials.ahead,
        )

    def _link_to(self, incident: str) -> str:
        return self._links(incident)  # as they are made now: a reload may change the key

    def _line(self, receiver: ReceiverSettings, credentials: Credentials) -> Line:
        line = Line(receiver, credentials, clock=self._clock, link=self.link, traffic=self.counters.line())
        self._lines.append(line)
        return line

    def _worker(self, lane: Lane, parallel: int, *, away: Callable[[], Collection[str]]) -> LaneWorker:
        return LaneWorker(
            lane,
            Uploader(self._outbox, self._targets, self._clock).deliver,
            outbox=self._outbox,
            transfers=self.transfers,
            settings=self._config.push,
            parallel=parallel,
            clock=self._clock,
            rng=random.Random(secrets.randbits(64)),
            away=away,
        )

    def _mailer(self) -> Mailer:
        mail, figures = self._config.mail, gate_figures(self._config.push)
        return Mailer(mail, resolve(mail), self._clock, figures=figures, make_socket=self.counters.line().socket)

    def _alert_sender(self) -> AlertSender:
        letters = _letters(self._config)
        return AlertSender(self._outbox, self.mailer, self._clock, letters=letters, link=self._link_to)

    def _alert_worker(self, sender: AlertSender) -> LaneWorker:
        async def send(delivery: Delivery, transfer: Transfer) -> None:
            with self.pacer.hush():
                await sender.send(delivery, transfer)

        return LaneWorker(
            Lane.ALERT,
            send,
            outbox=self._outbox,
            transfers=self.transfers,
            settings=self._config.push,
            parallel=_ALERTS_AT_ONCE,
            clock=self._clock,
            rng=random.Random(secrets.randbits(64)),
        )

    # ------------------------------------------------------------------------------------------------ changes

    def adopt(self, config: DeviceConfig, endpoints: Sequence[Endpoint], credentials: Credentials | None) -> None:
        """Go on by another configuration, its `endpoints` of mail and its `credentials`; see `changes` for what can.

        Uploads and mails under way go on; a changed rate holds from their next piece on.
        """
        self._config, push = config, config.push
        self._allowed = scheduled_rate(push, ZoneInfo(config.device.timezone), self._clock)
        self.pacer.adopt(self._allowed)
        self.uploads.adopt(push)
        self.alerts.adopt(push)
        self.mailer.adopt(config.mail, endpoints, gate_figures(push))
        self._sender.adopt(_letters(config))
        if self.link is not None and self.probe is not None:
            self.link.adopt(push.probe, metered=push.metered)
            self.probe.adopt(push)
        if self.heartbeat is not None:
            self.heartbeat.adopt(float(push.heartbeat))
        if config.receiver is not None and self._credentials is not None and credentials is not None:
            self._credentials.adopt(credentials)
            self._links = self._links_to(config.receiver, self._credentials) if credentials.signs else no_link
        self.hasten(asked=True)  # what was refused may be right now

    # --------------------------------------------------------------------------------------------- what is so

    def gates(self) -> tuple[tuple[str, str, str], ...]:
        """Return (destination, state, reason) of every destination that has been used, and of each mail relay."""
        used = {**self.uploads.gates, **self.alerts.gates}
        found = [(name, str(gate.state), gate.reason) for name, gate in used.items()]
        found += [(f"relay {relay.name}", str(relay.state), relay.reason) for relay in self.mailer.relays]
        return tuple(found)

    def rate(self) -> float:
        """Return the rate at which the backlog drains in bytes a second: measured, at most what is allowed."""
        measured = self.link.link.rate if self.link is not None else 0.0
        allowed = self._allowed()
        return measured if allowed is None else min(measured, allowed)

    def hasten(self, *, asked: bool = False) -> None:
        """Try everything again at once; `asked` by a person also what was refused for its key or password."""
        self.mailer.hasten(corrected=asked)
        self.alerts.hasten(overrule=True)  # the relays' own gates decide
        self.uploads.hasten(overrule=asked)

    async def close(self) -> None:
        """Let go of connections and threads."""
        for target in self._targets.values():
            await target.close()
        for line in self._lines:
            await line.close()

    def _away(self) -> Collection[str]:
        return (RECEIVER,) if self.link is not None and not self.link.usable else ()

    def _link_changed(self) -> None:
        if self.link is not None and self.link.usable:
            self.hasten()

    async def _waiting(self) -> bool:
        return await self._outbox.is_waiting(RECEIVER)

    def _vitals(self) -> Vitals:
        device, space = self._config.device, self._space()
        return Vitals(
            version=__version__,
            site=device.title,
            timezone=device.timezone,
            uptime=self._clock.mono() - self._started,
            disk_free=space.free if space is not None else 0,
            disk_total=space.total if space is not None else 0,
            arrived=self.transfers.held,
            cameras=tuple(
                CameraReport(name=name, well=state.delivering, text=state.text[:200])
                for name, state in self._health().items()
            ),
        )


def _letters(config: DeviceConfig) -> Letters:
    return Letters(
        device=config.device.name,
        site=config.device.title,
        timezone=config.device.timezone,
        sender=config.mail.sender,
        digest_from=config.alerts.digest_from,
        digest_after=config.alerts.digest_after,
    )
