"""`sudo edged setup` on an installed box: the files are the service's, and the service is started by it."""

from __future__ import annotations

import pytest

from tests.app.setup.person import sitting
from tests.container import lab, site

pytestmark = pytest.mark.timeout(900)

_FOOTAGE = lab.REPOSITORY / "tests" / "data" / "bew_walking_by.mp4"
_CONFIG = "/etc/edged/edged.toml"
_MORE = "Address of another camera"


async def test_a_box_is_set_up_and_runs() -> None:
    """The dialogue of a new box ends with a service that is active; a second one adds a camera and starts it anew."""
    with lab.boot(lab.installed()) as box:
        box.wait(lambda: box.unit("edged-receiver", "ActiveState") == "active", "the receiver is ready")
        key = site.add_device(box)
        box.put("/srv/door.mp4", _FOOTAGE.read_bytes())
        box.run("ln", "/srv/door.mp4", "/srv/yard.mp4")
        inside = [word for word in box.command("edged") if word not in {"timeout", "-k", "5", "300.0"}]
        inside = [*inside[: inside.index("-i") + 1], "TERM=linux", *inside[inside.index("-i") + 1 :]]
        async with sitting(program=inside) as person:
            await person.answers("Its name, for mails and the receiver [lab]")
            await person.follows(((_MORE, "/srv/door.mp4"), ("smaller stream", ""), ("Use this camera?", "")))
            await person.follows((("Its name", "door"), (_MORE, ""), ("To [-]", "")))
            await person.follows((("Address of the receiver", "http://127.0.0.1:8378"), ("name there [lab]", "")))
            await person.answers("The key that", key)
            await person.sees("the key of lab is accepted")
            await person.answers(f"Write {_CONFIG}?")
            await person.sees("is complete and consistent")
            await person.answers("Start edged now, and at every boot?")
            await person.sees("it runs; see: systemctl status edged")
            assert await person.ends() == 0
        assert box.unit("edged", "ActiveState") == "active"
        assert box.unit("edged", "UnitFileState") == "enabled"
        files = box.sh("cd /etc/edged; stat -c '%U:%G %a %n' edged.toml secrets secrets/*").stdout.splitlines()
        assert files == [
            "root:edged 640 edged.toml",
            "root:edged 750 secrets",
            "edged:edged 600 secrets/receiver",
        ]
        before = box.unit("edged", "MainPID")
        async with sitting(program=inside) as person:
            await person.sees("configured: door (stream /srv/door.mp4)")
            await person.follows(((_MORE, "/srv/yard.mp4"), ("smaller stream", ""), ("Use this camera?", "")))
            await person.follows((("Its name", "yard"), (_MORE, ""), ("To [-]", "")))
            await person.answers("Clips go to http://127.0.0.1:8378. Change it?")
            await person.answers(f"Write {_CONFIG}?")
            await person.answers("Start edged anew, so that it uses this?")
            await person.sees("it runs; see: systemctl status edged")
            assert await person.ends() == 0
        assert box.unit("edged", "MainPID") not in {before, "0"}
        assert box.exists(f"{_CONFIG}.bak")
        assert '[cameras.yard]\nsource = "stream"\nurl = "/srv/yard.mp4"' in box.read(_CONFIG)
