"""What a changed configuration file changes: what a running daemon can take, and what needs a restart.

The two tables sort every setting by the longest beginning of its key that they hold (`*` stands for any name). What
belongs to a thing that is open, connected or listened on needs a restart; what is looked at again and again can change.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edged.base.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from edged.settings import DeviceConfig

LIVE = (
    "alerts",
    "cameras.*.detect",
    "cameras.*.health",
    "device.site",
    "log.level",
    "mail",
    "outbox",
    "push",
    "recovery",
    "supervise",
)
RESTART = ("cameras.*", "device", "folders", "http", "log", "push.parallel", "receiver", "record")

# Contents of secrets whose names stay as they are: a camera's password is of its open connection, these are asked for
# with each mail and each request.
LIVE_SECRETS = ("mail", "receiver")

_ABSENT = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """`config` is what to go on with: the old one with what it can take of the new. The keys are dotted."""

    config: DeviceConfig
    taken: tuple[str, ...]
    restart: tuple[str, ...]


def compare(old: DeviceConfig, new: DeviceConfig) -> Changes:
    """Return what can be taken of `new` by a daemon that runs by `old`, and what needs a restart.

    Nothing is taken by half: what holds only together with something that needs a restart needs one, too.
    """
    keys = sorted(_differences(old, new, ""))
    taken = [key for key in keys if is_live(key)]
    config = old
    while config == old and taken:
        try:
            config = _merged(old, new, taken, "")
        except ValueError as error:
            named = str(error).partition(": ")[0]
            taken = [key for key in taken if key != named] if named in taken else []
    return Changes(config=config, taken=tuple(taken), restart=tuple(key for key in keys if key not in taken))


def is_live(key: str) -> bool:
    """Return whether a running daemon can take a change of this setting; what no table knows needs a restart."""
    return _fit(key, LIVE) > _fit(key, RESTART)


def is_live_secret(key: str) -> bool:
    """Return whether a running daemon can take other contents of the secret that this setting names."""
    return _fit(key, LIVE_SECRETS) > 0


def _fit(key: str, table: Collection[str]) -> int:
    """Return how many words of `key` the longest beginning of it has that is in `table`, 0 if none is."""
    return max((len(entry.split(".")) for entry in table if _begins(key, entry)), default=0)


def _begins(key: str, entry: str) -> bool:
    words, wanted = key.split("."), entry.split(".")
    return len(words) >= len(wanted) and all(want in {"*", word} for word, want in zip(words, wanted, strict=False))


def _differences(old: Any, new: Any, key: str) -> Iterator[str]:
    """Yield the keys of the settings that differ; a section that only one of the two has by its own key."""
    if old == new:
        return
    before, after = _parts(old), _parts(new)
    if before is None or after is None:
        yield key
        return
    for name in {**before, **after}:
        yield from _differences(before.get(name, _ABSENT), after.get(name, _ABSENT), f"{key}.{name}".lstrip("."))


def _merged(old: Any, new: Any, taken: Collection[str], key: str) -> Any:
    """Return `old` with the settings in `taken` as `new` has them; ValueError when these can't stand together."""
    if key in taken:
        return new
    below = f"{key}." if key else ""
    parts = _parts(old)
    if parts is None or not any(each.startswith(below) for each in taken):
        return old
    new_parts = _parts(new) or {}
    made = {name: _merged(value, new_parts.get(name), taken, f"{below}{name}") for name, value in parts.items()}
    return made if isinstance(old, dict) else dataclasses.replace(old, **made)


def _parts(section: Any) -> dict[str, Any] | None:
    """Return what a section, or a table of sections, consists of; None for a setting."""
    if dataclasses.is_dataclass(section) and not isinstance(section, Secret | type):
        return {field.name: getattr(section, field.name) for field in dataclasses.fields(section)}
    if isinstance(section, dict) and all(_parts(value) is not None for value in section.values()):
        return section
    return None
