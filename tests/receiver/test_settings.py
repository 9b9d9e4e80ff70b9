"""receiver.toml: mistakes are named (tests/test_config_files.py holds the shipped file to the settings)."""

from __future__ import annotations

from typing import Any

import pytest

from edged.base.config import parse
from edged.base.errors import ConfigError
from edged.receiver.settings import ReceiverConfig

LEAST = {"state": "/tmp/x", "public_url": "https://cctv.example.org"}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"public_url": "cctv.example.org"}, "public_url"),
        ({"public_url": "https://example.org/edged"}, "public_url"),
        ({"listen": "8378"}, "listen"),
        ({"listen": "127.0.0.1:port"}, "listen"),
        ({"listen": "127.0.0.1:70000"}, "listen"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"tokens": {"a b": {"env": "X"}}}, "tokens"),
        ({"tokens": {"web": "secret"}}, "tokens.web"),
        ({"limits": {"types": ["video"]}}, "limits.types"),
        ({"limits": {"open_uploads": 0}}, "limits.open_uploads"),
        ({"limits": {"largest": 5}}, "limits.largest"),
        ({"limits": {"idle": "0s"}}, "limits.idle"),
        ({"retention": {"age": "0d"}}, "retention.age"),
        ({"retention": {"quota": "0GB"}}, "retention.quota"),
        ({"login": {"trusted_proxies": ["localhost"]}}, "login.trusted_proxies"),
        ({"login": {"tries": 0}}, "login.tries"),
        ({"alarm": {"recipients": ["owner@example.org"]}}, "alarm"),
        ({"alarm": {"recipients": ["owner"]}}, "alarm.recipients"),
        ({"unknown": 1}, "unknown"),
    ],
    ids=str,
)
def test_mistakes_are_named(change: dict[str, Any], key: str) -> None:
    """Each impossible value is refused with its key."""
    with pytest.raises(ConfigError) as refused:
        parse({**LEAST, **change}, ReceiverConfig)
    assert refused.value.mistakes[0].key.startswith(key)
