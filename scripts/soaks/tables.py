"""The configurations of a soak's device and receiver, as tables: small, quick to notice, quick to try again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Table = dict[str, Any]

DEVICE = "soak"
RECIPIENTS = ("owner@soak.invalid", "guard@soak.invalid")


def cameras(count: int = 2, *, every: float = 8.0, walk: float = 2.5) -> Table:
    """Return `count` small drawn cameras; in each one walks for `walk` of `every` seconds, one after the other."""
    return {
        f"cam{number}": {
            "source": "synthetic",
            "size": "320x180",
            "rate": 10.0,
            "synthetic": {
                "seed": number,
                "period": f"{every:g}s",
                "walks": [round((number - 1) * (every - walk) / count, 2)],
                "walk": f"{walk:g}s",
                "lamps": [],
                "noise": 1.0,
            },
            "detect": {"merge": "1s", "post_roll": "500ms", "longest": "10s"},
        }
        for number in range(1, count + 1)
    }


def device(state: Path, *, receiver: str, key: Path, mail_port: int) -> Table:
    """Return a device that works in `state`, uploads to the address `receiver` and mails through `mail_port`."""
    return {
        "device": {"name": DEVICE, "site": "Soak", "state": str(state)},
        "cameras": cameras(),
        "record": {"pre_roll": "1s", "margin": "1s", "part": "3s", "pause_after_error": "1s"},
        "alerts": {"recipients": list(RECIPIENTS), "cooldown": "0s", "digest_after": "15s"},
        "mail": {
            "sender": "edged soak <device@soak.invalid>",
            "connect": "5s",
            "reply": "5s",
            "data_reply": "20s",
            "login_pause": "2s",
            "relays": [{"host": "127.0.0.1", "port": mail_port, "security": "opportunistic"}],
        },
        "receiver": {
            "url": receiver,
            "device": DEVICE,
            "key": {"file": str(key)},
            "connect_timeout": "5s",
            "sock_connect_timeout": "5s",
            "reply_timeout": "10s",
            "progress_timeout": "10s",
            "user_timeout": "10s",
        },
        "push": {
            "heartbeat": "5s",
            "gate": {"pause": "1s", "credentials_pause": "2s"},
            "backoff": {"first": "200ms", "cap": "2s", "budget": 1000},
            "probe": {"waiting": "200ms", "waiting_cap": "1s", "timeout": "5s", "settled": "1s"},
        },
        "outbox": {"warn_free": "8MB", "critical_free": "4MB", "sweep_interval": "5s", "backup_interval": "30s"},
        "supervise": {"camera_lost": "0s"},
        "http": {"listen": "127.0.0.1:0"},
        "log": {"style": "json", "level": "debug"},
    }


def receiver(state: Path, port: int) -> Table:
    """Return a receiver that works in `state` and listens on `port`."""
    return {
        "state": str(state),
        "listen": f"127.0.0.1:{port}",
        "public_url": f"http://127.0.0.1:{port}",
        "name": "Soak receiver",
        "limits": {"reserve": "1MB"},
        "log": {"style": "json"},
    }


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Table:
    """Return `below` with the values of `above`, table by table; a list and the table of cameras are replaced whole."""
    result = dict(below)
    for name, value in above.items():
        old = result.get(name)
        whole = name == "cameras" or not (isinstance(old, dict) and isinstance(value, dict))
        result[name] = value if whole else merged(old or {}, value)
    return result


def toml(table: Mapping[str, Any]) -> str:
    """Return tables of tables, lists and plain values as TOML."""
    return "".join(f"{name} = {_inline(value)}\n" for name, value in table.items())


def _inline(value: Any) -> str:
    match value:
        case dict():
            return "{ " + ", ".join(f"{name} = {_inline(item)}" for name, item in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(_inline, value)) + "]"
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case _:
            return str(value)
