"""The whole device's configuration: what must hold between the sections, and the secrets that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edged.base.config import parse
from edged.base.errors import ConfigError
from edged.settings import DeviceConfig, check_secrets, load_device
from tests.app.home import config, tables, toml

if TYPE_CHECKING:
    from pathlib import Path

CAMERA = {"source": "synthetic"}
RELAY = {"host": "127.0.0.1", "security": "opportunistic"}


def mistakes(table: dict[str, Any]) -> dict[str, str]:
    """Return what is wrong with a configuration, by key."""
    with pytest.raises(ConfigError) as caught:
        parse(table, DeviceConfig)
    return {mistake.key: mistake.text for mistake in caught.value.mistakes}


@pytest.mark.parametrize(
    ("sections", "key", "words"),
    [
        ({"cameras": {}}, "cameras", "there is none"),
        ({"cameras": {"Front door": CAMERA}}, "cameras.Front door", "small letters"),
        ({"cameras": {"a" * 33: CAMERA}}, f"cameras.{'a' * 33}", "1 to 32"),
        ({"cameras": {"../x": CAMERA}}, "cameras.../x", "small letters"),
        (
            {"cameras": {"a": {"source": "picamera"}, "b": {"source": "picamera", "pi": {"tuning": "/noir.json"}}}},
            "cameras",
            "must name one pi.tuning",
        ),
        ({"folders": {"USB": {"path": "/mnt"}}}, "folders.USB", "small letters"),
        (
            {"device": {"name": "a", "state": "/a"}, "folders": {"u": {"path": "/a/b"}}},
            "folders.u.path",
            "device.state",
        ),
        ({"alerts": {"armed": ["22:00-06:00", "mo 25:00-26:00"]}}, "alerts.armed", "past 24:00"),
        ({"alerts": {"recipients": ["a@example.org"]}}, "mail.relays", "names recipients"),
        ({"mail": {"relays": [RELAY]}}, "mail.sender", "is missing"),
        ({"outbox": {"delete_after_proof": True}}, "outbox.delete_after_proof", "needs a [receiver]"),
        ({"device": {"name": "Shop 1"}}, "device.name", "'Shop 1'"),
        ({"device": {"name": "shop", "timezone": "Mars/Base"}}, "device.timezone", "'Mars/Base'"),
        ({"device": {"name": "shop", "timezone": "../etc/passwd"}}, "device.timezone", "is not known"),
        ({"device": {"name": "shop", "state": "here"}}, "device.state", "must begin with /"),
        ({"device": {"name": "shop", "state": "/" + "x" * 94}}, "device.state", "94 bytes"),
        ({"device": {}}, "device.name", "is missing"),
        ({"log": {"style": "xml"}}, "log.style", "xml"),
        ({"camera": {}}, "camera", "did you mean 'cameras'"),
    ],
)
def test_what_contradicts_is_refused_by_its_key(tmp_path: Path, sections: Any, key: str, words: str) -> None:
    """Each mistake names the key to correct and says what is wrong with it."""
    found = mistakes(tables(tmp_path, **sections))
    assert list(found) == [key]
    assert words in found[key]


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """A person corrects the file once, not once for each mistake."""
    wrong = tables(tmp_path, device={"name": "X"}, log={"level": "loud"}, cameras={"door": {"source": "webcam"}})
    assert set(mistakes(wrong)) == {"device.name", "log.level", "cameras.door.source"}


def test_contradictions_are_told_together_with_other_mistakes(tmp_path: Path) -> None:
    """An unknown key, two contradictions in one section and one between sections come in one go."""
    table = tables(tmp_path, alerts={"recipients": ["a@example.org"]})
    table["device"] |= {"colour": "red", "timezone": "Mars/Olympus", "name": "Shop 1"}
    table["record"] = {"ring": "nothing"}
    found = mistakes(table)
    assert set(found) == {"device.colour", "device.name", "record.ring"}  # the name has no default to go on with
    table["device"]["name"] = "shop"
    assert set(mistakes(table)) == {"device.colour", "device.timezone", "record.ring"}
    table["device"] = {"name": "shop", "state": "state", "timezone": "Mars/Olympus"}
    assert set(mistakes(table)) == {"device.state", "device.timezone", "record.ring"}
    table["device"] = {"name": "shop"}
    assert set(mistakes(table)) == {"record.ring", "mail.relays"}


def test_what_follows_from_a_mistake_is_not_told(tmp_path: Path) -> None:
    """A section that could not be read leaves no complaint about its absence, nor does a key that was misspelt."""
    receiver = {"url": "https://r.example.org", "device": "shop", "kye": {"env": "KEY"}}
    assert set(mistakes(tables(tmp_path, receiver=receiver))) == {"receiver.kye"}
    unitless = {"url": "https://r.example.org", "progress_timeout": 5}
    outbox = {"delete_after_proof": True}
    assert set(mistakes(tables(tmp_path, receiver=unitless, outbox=outbox))) == {"receiver.progress_timeout"}
    mail = {"relays": [{"host": "127.0.0.1", "security": "none"}]}
    told = mistakes(tables(tmp_path, mail=mail, alerts={"recipients": ["a@example.org"]}))
    assert told == {"mail.relays.1.security": "'none' is none of 'starttls', 'tls', 'opportunistic'"}


def test_the_longest_state_directory_is_taken(tmp_path: Path) -> None:
    """A path of 94 bytes still has room for the control socket's name."""
    path = "/" + "x" * 93
    assert str(config(tmp_path, device={"name": "shop", "state": path}).device.state) == path


def test_names_for_people_fall_back_to_the_device(tmp_path: Path) -> None:
    """The site's title is its name if it has one."""
    assert config(tmp_path).device.title == "Corner shop"
    assert config(tmp_path, device={"name": "shop"}).device.title == "shop"


def test_a_file_is_loaded(tmp_path: Path) -> None:
    """What a person writes as TOML arrives as values."""
    path = tmp_path / "edged.toml"
    path.write_text(toml(tables(tmp_path / "state", alerts={"armed": ["22:00-06:00"], "cooldown": "2min"})))
    loaded = load_device(path)
    assert (loaded.alerts.cooldown, loaded.alerts.armed) == (120.0, ("22:00-06:00",))
    assert loaded.cameras["door"].synthetic.walks == (30.0,)


def test_secrets_that_cannot_be_had_are_named(tmp_path: Path) -> None:
    """Every one is told by its key, none with its value."""
    readable, private = tmp_path / "readable", tmp_path / "private"
    for path, mode in ((readable, 0o644), (private, 0o600)):
        path.write_text("hunter2")
        path.chmod(mode)
    relays = [
        RELAY | {"security": "tls", "user": "shop", "password": {"file": str(path)}} for path in (private, readable)
    ]
    made = config(
        tmp_path,
        mail={"sender": "a@example.org", "relays": relays},
        receiver={"url": "http://127.0.0.1:1", "device": "shop", "key": {"env": "EDGED_TEST_IS_NOT_SET"}},
    )
    with pytest.raises(ConfigError) as caught:
        check_secrets(made)
    told = {mistake.key: mistake.text for mistake in caught.value.mistakes}
    assert set(told) == {"mail.relays.2.password", "receiver.key"}
    assert "chmod 600" in told["mail.relays.2.password"]
    assert "EDGED_TEST_IS_NOT_SET is not set" in told["receiver.key"]
    assert "hunter2" not in str(caught.value)


def test_without_secrets_there_is_nothing_to_miss(tmp_path: Path) -> None:
    """A configuration that names none needs none."""
    check_secrets(config(tmp_path))
