"""The units: kept as a release brings them, or on trial, where a restart of the machine forgets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.installing.places import CATALOG, CURRENT, TRIAL, UNITS, Role, role_of
from scripts.installing.system import is_enabled, properties, run, systemctl, write

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from scripts.installing.release import Release


def keep(release: Release, before: Release | None, roles: Collection[Role]) -> None:
    """Put a release's units in place, enable those of `roles` that `before` did not have, and end their trial.

    What a person has set (drop-ins, whole units in /etc, what is disabled or masked) stays as it is.
    """
    texts = release.units()
    known = {path.name for path in UNITS.glob("edged*")}
    for name, text in texts.items():
        write(UNITS / name, text)
    for name in known - texts.keys():
        systemctl("disable", "--now", name, check=False)
        (UNITS / name).unlink()
    end_trial()
    systemctl("daemon-reload")
    if write(CATALOG, (release.path / "systemd" / CATALOG.name).read_text(encoding="utf-8")):
        run("journalctl", "--update-catalog")
    old = before.units() if before is not None else {}
    enable({name: text for name, text in texts.items() if name not in old}, roles)


def enable(texts: Mapping[str, str], roles: Collection[Role]) -> None:
    """Have units of `roles` start with the machine, those that are made for it."""
    names = _for_the_start(texts, roles)
    if names:
        systemctl("enable", "--quiet", *names)


def wake(texts: Mapping[str, str], roles: Collection[Role]) -> None:
    """Start the timers and path units of `roles` that start with the machine."""
    names = [name for name in _for_the_start(texts, roles) if name.endswith((".timer", ".path")) and is_enabled(name)]
    if names:
        systemctl("start", *names)


def _for_the_start(texts: Mapping[str, str], roles: Collection[Role]) -> list[str]:
    return [name for name, text in texts.items() if "[Install]" in text and role_of(name) in roles]


def begin_trial(release: Release, roles: Collection[Role]) -> bool:
    """Have the next start be the release's, until the machine's next; return whether systemd agrees.

    A person who has replaced ExecStart has the last word: then only a real switch tries the release.
    """
    for name, text in release.units().items():
        write(TRIAL / name, text.replace(str(CURRENT), str(release.path)))
    systemctl("daemon-reload")
    starts = [properties(role.unit, "ExecStart")["ExecStart"] for role in roles]
    return all(f"path={release.program} " in start for start in starts)


def on_trial() -> bool:
    """Return whether a release is on trial: not any more, once the machine has been started anew."""
    return any(path.is_file() for path in TRIAL.glob("edged*"))


def end_trial() -> None:
    """Forget the units on trial; what runs goes on."""
    found = [path for path in TRIAL.glob("edged*") if path.is_file()]
    for path in found:
        path.unlink()
    if found:
        systemctl("daemon-reload")
