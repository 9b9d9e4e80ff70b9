from __future__ import annotations

from typing import Any

import pytest

from edged.base.config import parse
from edged.base.errors import ConfigError
from edged.capture.settings import CameraSettings, LastResortSettings, parse_size


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({}, "url"),
        ({"url": "rtsp://cam:hunter2@10.0.0.2/live"}, "url"),
        ({"url": "rtsp://10.0.0.2/live", "substream": "rtsp://a:hunter2@10.0.0.2/sub"}, "substream"),
        ({"url": "rtsp://10.0.0.2/live", "password": {"env": "CAM"}}, "password"),
        ({"url": "rtsp://user@[10.0.0.2/live"}, "url"),
        ({"source": "picamera", "url": "front"}, "url"),
        ({"source": "picamera", "substream": "rtsp://10.0.0.2/sub"}, "substream"),
        ({"source": "synthetic", "size": "1280*720"}, "size"),
        ({"source": "synthetic", "size": "1279x720"}, "size"),
        ({"source": "synthetic", "rate": 0.0}, "rate"),
        ({"source": "synthetic", "quality": 52}, "quality"),
        ({"url": "rtsp://10.0.0.2/live", "speed": "full"}, "speed"),
        ({"url": "/dev/video0", "loop": True}, "loop"),
        ({"url": "rtsp://10.0.0.2/live", "read_timeout": "0s"}, "read_timeout"),
        ({"url": "rtsp://10.0.0.2/live", "health": {"silence": "0s"}}, "health.silence"),
        ({"url": "rtsp://10.0.0.2/live", "health": {"silence": "9s"}}, "health.stuck"),
        ({"url": "rtsp://10.0.0.2/live", "health": {"dark_level": 256}}, "health.dark_level"),
        ({"source": "synthetic", "synthetic": {"walks": [58.0]}}, "synthetic.walks"),
        ({"source": "synthetic", "synthetic": {"lamps": [60.0]}}, "synthetic.lamps"),
        ({"url": "rtsp://10.0.0.2/live", "synthetic": {"seed": 2}}, "synthetic"),
    ],
)
def test_what_can_not_work_is_refused_by_its_key(table: dict[str, Any], key: str) -> None:
    """Each mistake names its key, and no message shows a password."""
    with pytest.raises(ConfigError) as caught:
        parse(table, CameraSettings)
    assert key in [mistake.key for mistake in caught.value.mistakes]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "device", "file", "sensor"),
    [
        ("rtsp://user@10.0.0.2/live", False, False, True),
        ("/dev/video0", True, False, True),
        ("/srv/clips/door.mp4", False, True, False),
        ("clips/door.mp4", False, True, False),
    ],
)
def test_the_url_says_what_kind_of_source_it_is(url: str, device: bool, file: bool, sensor: bool) -> None:
    """Network stream, device and file are told apart by their names alone."""
    settings = CameraSettings(url=url)
    assert (settings.is_device, settings.is_file, settings.has_sensor) == (device, file, sensor)


def test_only_a_file_played_once_ends() -> None:
    """A looped file and a stream have no honest end."""
    assert CameraSettings(url="a.mp4").ends
    assert not CameraSettings(url="a.mp4", loop=True).ends
    assert not CameraSettings(url="rtsp://10.0.0.2/live").ends


def test_a_size_is_two_numbers() -> None:
    """A size is read as width and height."""
    assert parse_size("1280x720") == (1280, 720)


@pytest.mark.parametrize("table", [{"leave_after": "0s"}, {"reboot_after": "0s"}])
def test_a_last_resort_without_a_meaning_is_refused(table: dict[str, Any]) -> None:
    """Zero is no way to switch a last resort off."""
    with pytest.raises(ConfigError) as caught:
        parse(table, LastResortSettings)
    assert caught.value.mistakes[0].key == next(iter(table))
