"""`edged setup` as a person meets it: on a real terminal, with real cameras' streams, relay and receiver."""

from __future__ import annotations

import ssl
import stat
from typing import TYPE_CHECKING

import pytest
import trustme

from edged.app.setup.writing import secrets_folder
from edged.receiver.app import serve
from edged.receiver.settings import ReceiverConfig
from edged.settings import check_secrets, load_device
from tests.app.setup.person import Script, sitting
from tests.capture.clips import make_clip
from tests.capture.test_rtsp import serving
from tests.mailbox import serve_mail
from tests.onvif_camera import Channel, OnvifCamera, serve_camera
from tests.receiver.conftest import known_device

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(240)

MORE = "Address of another camera"
LOGIN = ("owner@example.org", "s3cret-words")
CAMERA = "c4mera-words"


# the camera that is found: a wrong password, then the right one
FOUND = (
    ("Its user", "viewer"),
    ("Its password", "wrong"),
    ("127.0.0.1 refuses the user or the password\n  Its user", "viewer"),
    ("Its password", CAMERA),
    ("offers 1920x1080 H264\n", None),
    ("Use this camera?", ""),
    ("Its name, for mails and pages", "door"),
)


def typed(url: str) -> Script:
    """A camera by its address, with a name that is taken."""
    return (
        (MORE, url),
        ("Its password", CAMERA),
        ("smaller stream", ""),
        ("Use this camera?", ""),
        ("Its name, for mails and pages", "door"),
        ("there is a camera door already", None),
        ("Its name, for mails and pages", "yard"),
        (MORE, ""),
    )


def mail(port: int) -> Script:
    """A relay: a wrong password, then the right one with all else as it was."""
    return (
        ("To [-]", "anna@example.org, ben@example.org"),
        ("From", LOGIN[0]),
        ("Outgoing mail server", "127.0.0.1"),
        ("Its protection", "starttls"),
        ("Its port [587]", str(port)),
        ("User there", ""),
        ("Password", "wrong"),
        ("not sent: the server does not accept user or password", None),
        ("Correct it?", ""),
        ("To [anna@example.org, ben@example.org]", ""),
        ("From", ""),
        ("Outgoing mail server [127.0.0.1]", ""),
        ("Its protection", ""),
        (f"Its port [{port}]", ""),
        ("User there", ""),
        ("Password", LOGIN[1]),
        ("sent to ben@example.org", None),
    )


def receiver(port: int, key: str) -> Script:
    """A receiver: a wrong key, then the right one."""
    return (
        ("Address of the receiver", f"http://127.0.0.1:{port}"),
        ("This device's name there [shop]", ""),
        ("The key that", key.swapcase()),
        ("the receiver does not accept the name or the key", None),
        ("Correct it?", ""),
        ("Address of the receiver", ""),
        ("This device's name there", ""),
        ("The key that", key),
        ("the key of shop is accepted", None),
    )


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two minutes of pictures."""
    path = tmp_path_factory.mktemp("setup") / "a.mp4"
    return make_clip(path, frames=1200, options={"tune": "zerolatency", "preset": "ultrafast", "g": "10"})


async def test_from_nothing_to_a_whole_configuration(tmp_path: Path, clip: Path, free_port: int) -> None:
    """A box is named, two cameras are seen, mail and receiver are proven, and the file says just that."""
    path = tmp_path / "etc" / "edged.toml"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    eye = OnvifCamera(
        login=("viewer", CAMERA),
        channels=(Channel(token="main", url=f"rtsp://10.255.255.1:{free_port}/cam"),),
    )
    receiving = ReceiverConfig(state=tmp_path / "hq", public_url="http://127.0.0.1:1", listen="127.0.0.1:0", name="hq")
    (tmp_path / "hq").mkdir(mode=0o700)
    (tmp_path / "etc").mkdir()
    async with (
        serving(free_port, "h264", clip, "viewer", CAMERA),
        serve_camera(eye, discoverable=True),
        serve_mail(tls=context, login=LOGIN) as mailbox,
        serve(receiving) as hq,
        await known_device(hq, "shop") as known,
        sitting(
            *("--config", str(path), "--pictures", str(tmp_path / "pictures")),
            environment={"SSL_CERT_FILE": str(tmp_path / "ca.pem")},
        ) as person,
    ):
        await person.answers("Its name", "Shop!")
        await person.answers("small letters, digits and dashes, like shop", "shop")
        await person.passes_strangers(until=eye.service)
        await person.sees(eye.service)
        await person.follows(FOUND)
        await person.passes_strangers(until=MORE)
        await person.follows(typed(f"rtsp://viewer@127.0.0.1:{free_port}/cam"))
        await person.follows(mail(mailbox.port))
        await person.follows(receiver(hq.port, known.key))
        await person.answers(f"Write {path}?")
        await person.sees("is complete and consistent")
        await person.sees("start it with: edged run")
        assert await person.ends() == 0
        assert [mail.recipients[0] for mail in mailbox.mails] == ["anna@example.org", "ben@example.org"]
        shown, painted = person.shown, person.painted
    config = load_device(path)
    check_secrets(config)
    assert (config.device.name, list(config.cameras)) == ("shop", ["door", "yard"])
    assert config.cameras["door"].url == config.cameras["yard"].url == f"rtsp://viewer@127.0.0.1:{free_port}/cam"
    assert config.alerts.recipients == ("anna@example.org", "ben@example.org")
    assert config.receiver is not None
    assert (config.receiver.device, config.receiver.key and config.receiver.key.reveal()) == ("shop", known.key)
    secrets = {place.name: place.read_text().strip() for place in secrets_folder(path).iterdir()}
    assert secrets == {"camera-door": CAMERA, "camera-yard": CAMERA, "mail": LOGIN[1], "receiver": known.key}
    assert {stat.S_IMODE(place.stat().st_mode) for place in secrets_folder(path).iterdir()} == {0o600}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [place.name for place in path.parent.iterdir() if place != secrets_folder(path)] == ["edged.toml"]
    assert not any(secret in shown for secret in (*secrets.values(), "wrong"))
    assert painted.count("\N{UPPER HALF BLOCK}") > 200  # a picture of each camera
    assert stat.S_IMODE((tmp_path / "pictures").stat().st_mode) == 0o700
    assert all(picture.read_bytes().startswith(b"\xff\xd8") for picture in (tmp_path / "pictures").iterdir())
