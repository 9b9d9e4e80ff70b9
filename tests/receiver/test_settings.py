"""receiver.toml: the shipped file is complete and true, and mistakes are named."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from edged.base.config import parse
from edged.base.errors import ConfigError
from edged.receiver.settings import ReceiverConfig

SHIPPED = (Path(__file__).parents[2] / "config" / "receiver.toml").read_text(encoding="utf-8")
LEAST = {"state": "/tmp/x", "public_url": "https://cctv.example.org"}

# what has no default value that could be shown, or is one of many
EXAMPLES = {
    *(
        "name",
        "retention.age",
        "retention.quota",
        "login.trusted_proxies",
        "alarm.recipients",
        "mail.sender",
        "mail.helo",
    ),
    *("tokens.website", "mail.relays"),
}


def uncommented() -> dict[str, Any]:
    """Return the shipped file with every setting that it shows switched on."""
    return tomllib.loads(re.sub(r"^# (?=[a-z_]+ = |\[\[)", "", SHIPPED, flags=re.MULTILINE))


def flat(section: object, key: str = "") -> dict[str, object]:
    """Return every leaf of a settings section by its dotted key."""
    if not dataclasses.is_dataclass(section):
        return {key: section}
    leaves: dict[str, object] = {}
    for field in dataclasses.fields(section):
        leaves |= flat(getattr(section, field.name), f"{key}.{field.name}" if key else field.name)
    return leaves


def test_the_shipped_file_is_valid_as_it_is() -> None:
    """It can be used with its two required keys alone."""
    config = parse(tomllib.loads(SHIPPED), ReceiverConfig)
    assert config.address() == ("127.0.0.1", 8378)
    assert config.title == "cctv.example.org"


def test_every_setting_is_in_the_shipped_file() -> None:
    """No setting is left out, and each shown default is the real one."""
    shown = flat(parse(uncommented(), ReceiverConfig))
    real = flat(parse(tomllib.loads(SHIPPED), ReceiverConfig))
    text = {match[1] for match in re.finditer(r"^#? ?([a-z_]+) = ", SHIPPED, flags=re.MULTILINE)}
    for key, value in real.items():
        assert key.rpartition(".")[2] in text | {"relays", "tokens"}, key
        if key not in EXAMPLES and key != "tokens":
            assert shown[key] == value, key


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
