"""The files that setup leaves: whole, with their rights, or not at all."""

from __future__ import annotations

import stat
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from edged.app.setup.answers import Answers, CameraAnswer, MailAnswer, ReceiverAnswer, valid_name
from edged.app.setup.writing import draft, existing, secrets_folder, write
from edged.base.errors import ConfigError, EdgedError
from edged.channels.settings import Security
from edged.settings import load_device

CAMERA = CameraAnswer(name="door", url="rtsp://viewer@host/a", substream="rtsp://viewer@host/b", password="pw")
MAIL = MailAnswer(
    sender="Shop <a@example.org>", recipients=("b@example.org",), host="smtp.example.org", security=Security.TLS,
    port=2465, user="a", password="mail-pw",
)  # fmt: skip
WHOLE = Answers(
    name="shop",
    timezone="Europe/Berlin",
    cameras=(CAMERA, CameraAnswer(name="pi", source="picamera", url="1"), CameraAnswer(name="usb", url="/dev/video0")),
    mail=MAIL,
    receiver=ReceiverAnswer(url="https://hq.example.org", device="shop", key="a-key"),
)


def rights(path: Path) -> int:
    """Return a path's permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_explains_every_setting_and_says_what_was_answered(tmp_path: Path) -> None:
    """It is config/edged.toml, with the answers in it and its examples off; secrets lie beside it, private."""
    path = tmp_path / "etc" / "edged" / "edged.toml"
    assert write(draft(path, "", WHOLE)) is None
    config = load_device(path)
    assert (config.device.name, config.device.timezone) == ("shop", "Europe/Berlin")
    assert [(each.source, each.url) for each in config.cameras.values()] == [
        ("stream", "rtsp://viewer@host/a"), ("picamera", "1"), ("stream", "/dev/video0"),
    ]  # fmt: skip
    (relay,) = config.mail.relays
    assert (relay.name, relay.user, relay.password and relay.password.reveal()) == (
        "smtp.example.org:2465",
        "a",
        "mail-pw",
    )
    assert config.receiver is not None
    assert (config.folders, config.push.rate, config.cameras["door"].detect.zones) == ({}, None, {})
    assert (rights(path), rights(secrets_folder(path))) == (0o640, 0o750)
    assert {each.name: rights(each) for each in secrets_folder(path).iterdir()} == dict.fromkeys(
        ("camera-door", "mail", "receiver"), 0o600
    )
    sample = (Path(__file__).parents[3] / "config" / "edged.toml").read_text()
    comments = [line for line in sample.split("\n") if line.startswith("# ")]
    assert [line for line in path.read_text().split("\n") if line.startswith("# ")] == comments


@pytest.mark.parametrize(
    "camera",
    [
        CAMERA,
        replace(CAMERA, url="rtsp://host/a", substream="", password=""),
        CameraAnswer(name="pi", source="picamera", url="0"),
        CameraAnswer(name="usb", url="/dev/v4l/by-id/usb-x", size="640x480"),
    ],
    ids=["network", "open", "pi", "usb"],
)
def test_each_kind_of_camera_alone_makes_a_valid_file(tmp_path: Path, camera: CameraAnswer) -> None:
    """Neither mail nor a receiver is needed."""
    made = draft(tmp_path / "edged.toml", "", Answers(name="shop", timezone="UTC", cameras=(camera,)))
    assert made.config.cameras[camera.name].url == camera.url
    assert not made.config.mail.relays
    assert made.config.receiver is None


def test_answers_put_into_their_own_file_change_nothing(tmp_path: Path) -> None:
    """A second run with the same answers gives the same text."""
    path = tmp_path / "edged.toml"
    text = draft(path, "", WHOLE).text
    assert draft(path, text, WHOLE).text == text


def test_the_former_file_is_kept_as_it_was_with_its_rights(tmp_path: Path) -> None:
    """Whatever a person had written can be had back."""
    path = tmp_path / "edged.toml"
    path.write_text('[device]\nname = "a"\n[cameras.b]\nsource = "synthetic"\n')
    path.chmod(0o604)
    text, config = existing(path)
    assert config is not None
    kept = write(draft(path, text, Answers(cameras=(CameraAnswer(name="usb", url="/dev/video0"),))))
    assert kept is not None
    assert (kept.read_text(), rights(kept)) == (text, 0o604)
    assert list(load_device(path).cameras) == ["b", "usb"]


def test_a_login_that_is_no_longer_asked_for_goes(tmp_path: Path) -> None:
    """A relay inside the house wants no password, and takes none."""
    path = tmp_path / "edged.toml"
    text = draft(path, "", WHOLE).text
    house = replace(MAIL, security=Security.OPPORTUNISTIC, port=None, user="", password="")
    made = draft(path, text, Answers(mail=house))
    assert (made.config.mail.relays[0].tcp_port, made.config.mail.relays[0].password) == (25, None)
    assert made.secrets == {}


def test_what_is_refused_on_the_way_leaves_all_as_it_was(tmp_path: Path) -> None:
    """Here the place of the kept file can't be written: neither secret nor configuration has changed."""
    path = tmp_path / "edged.toml"
    path.write_text(text := draft(path, "", WHOLE).text)
    (tmp_path / "edged.toml.bak").mkdir()
    with pytest.raises(OSError, match="directory"):
        write(draft(path, text, replace(WHOLE, mail=None, receiver=None)))
    assert path.read_text() == text
    assert sorted(each.name for each in tmp_path.iterdir()) == ["edged.toml", "edged.toml.bak"]


def test_a_file_without_a_camera_is_refused(tmp_path: Path) -> None:
    """There is nothing to be valid."""
    with pytest.raises(EdgedError, match="there is no camera to configure"):
        draft(tmp_path / "edged.toml", "", Answers(name="shop"))


def test_what_would_not_be_valid_is_not_written(tmp_path: Path) -> None:
    """The same mistakes as at a start, before anything is there."""
    with pytest.raises(ConfigError, match=r"cameras.door.url: must not contain the password"):
        draft(tmp_path / "edged.toml", "", Answers(name="a", cameras=(replace(CAMERA, url="rtsp://a:b@c/d"),)))


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    """Not a traceback."""
    path = tmp_path / "edged.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        existing(path)


def test_passwords_are_in_no_repr() -> None:
    """Answers may come into a traceback."""
    assert not any(secret in repr(WHOLE) for secret in ("mail-pw", "a-key", "'pw'"))


@pytest.mark.parametrize(
    ("text", "taken", "wanted"),
    [
        ("Raspberry Pi", (), "raspberry-pi"),
        ("rpi.local", (), "rpi-local"),
        ("---", (), "edged"),
        ("a", ("a",), "a-2"),
        ("a", ("a", "a-2"), "a-3"),
        ("x" * 40, (), "x" * 32),
        ("x" * 40, ("x" * 32,), "x" * 30 + "-2"),
        ("Küche", (), "k-che"),
    ],
)
def test_names_are_made_valid(text: str, taken: tuple[str, ...], wanted: str) -> None:
    """As the configuration takes them, and free."""
    assert valid_name(text, taken) == wanted


def test_the_wheel_s_sample_is_the_one_that_is_shown() -> None:
    """One text, in two places by a link."""
    packed = Path(__file__).parents[3] / "edged" / "app" / "setup" / "edged.toml"
    assert packed.is_symlink()
    assert tomllib.loads(packed.read_text())["device"]["name"] == "shop-1"
