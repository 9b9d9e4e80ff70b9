"""A real /dev/video0, of a virtual machine: its pictures come, and it is recovered from what USB cameras do."""

from __future__ import annotations

import pytest

from tests.vivid.machine import UnavailableError, run_inside

DEVICE = "/dev/video0"


@pytest.mark.timeout(600)  # an emulated processor, on a machine that may have other things to do
def test_a_v4l2_device_gives_pictures_and_comes_back_when_it_was_unplugged_mute_or_broken() -> None:
    """Each outage is one gap within a second of the truth, and a mute device is let go, so that it can be opened anew.

    The driver offers raw formats alone, so "auto" comes to the last of what it tries.
    """
    try:
        told = run_inside(570)
    except UnavailableError as error:
        pytest.skip(f"no virtual machine here: {error}")
    said = {line["what"]: line for line in told}
    assert "failed" not in said, said
    assert list(said) == ["found", "pictures raw", "pictures auto", "unplugged", "mute", "broken", "over"]
    (camera,) = said["found"]["cameras"]
    assert (camera["kind"], camera["name"], camera["url"]) == ("usb", "vivid", DEVICE)
    assert "YUYV" in camera["formats"]
    assert said["found"]["nodes"] == ["video0", "video1", "video2"]  # an output and metadata are no cameras
    assert said["found"]["size"] == [1280, 720]
    for wanted in ("raw", "auto"):
        seen = said[f"pictures {wanted}"]
        assert (seen["codec"], seen["size"], seen["analysed"]) == ("h264", [320, 180], [180, 320])
        assert seen["spread"] > 40  # colour bars, not the grey of an empty buffer
        assert seen["gaps"] == 0
    for what, reason in (("unplugged", "No such"), ("mute", "did not answer in time"), ("broken", "Input/output")):
        (gap,) = said[what]["gaps"]
        assert reason in said[what]["reason"]
        assert -1.0 < gap["start"] < 1.0
        assert gap["end"] >= 0.0
