"""Where everything lies on a machine, and the two roles that a machine can have."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent.parent
PREFIX = Path("/opt/edged")
RELEASES = PREFIX / "releases"
CURRENT = PREFIX / "current"  # a link to the active release
ROLES = PREFIX / "roles"  # the names of the roles that are installed, one a line
RECORD = PREFIX / "upgrade.json"  # there while a new release is on trial: what to go back to
WHEELS = PREFIX / "wheels"  # what an interrupted installation has fetched; gone once it is done
PROGRAM = Path("/usr/local/bin/edged")
CONFIGURATION = Path("/etc/edged")
UNITS = Path("/usr/local/lib/systemd/system")
CATALOG = Path("/usr/local/lib/systemd/catalog/edged.catalog")  # what journalctl -x explains
TRIAL = Path("/run/systemd/system")  # wins over UNITS, and a loss of power forgets it
USERS = Path("/usr/local/lib/sysusers.d/edged.conf")
LOCK = Path("/run/edged-install.lock")


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """What a machine is to be: its service, that one's user, configuration and database."""

    name: str
    unit: str
    user: str
    config: Path
    database: str  # its name in the state directory
    schema: str  # the module of edged whose schema() it has

    def state(self) -> Path:
        """Return the state directory; raises OSError, tomllib.TOMLDecodeError."""
        default = f"/var/lib/{self.user}"
        table = tomllib.loads(self.config.read_text(encoding="utf-8")) if self.config.exists() else {}
        if self is DEVICE:
            table = table.get("device", {})
        return Path(table.get("state", default))


DEVICE = Role(
    name="device",
    unit="edged.service",
    user="edged",
    config=CONFIGURATION / "edged.toml",
    database="outbox.db",
    schema="edged.outbox.opening",
)
RECEIVER = Role(
    name="receiver",
    unit="edged-receiver.service",
    user="edged-receiver",
    config=CONFIGURATION / "receiver.toml",
    database="receiver.db",
    schema="edged.receiver.opening",
)


def role_of(unit: str) -> Role:
    """Return the role to which a unit's file belongs."""
    return RECEIVER if unit.startswith("edged-receiver") else DEVICE
