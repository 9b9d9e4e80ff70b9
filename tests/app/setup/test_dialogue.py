"""`edged setup` as a person meets it: on a real terminal, with real cameras' streams, relay and receiver."""

from __future__ import annotations

import ssl
import stat
from typing import TYPE_CHECKING

import pytest
import trustme

from edged.app.setup.answers import Answers, CameraAnswer
from edged.app.setup.writing import draft, secrets_folder
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
        ("smaller stream", url.replace("viewer@", "")),
        ("its smaller stream is left out: rtsp://127.0.0.1", None),
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


# ------------------------------------------------------------------------------------- what is there already

OLD = """\
# the harbour's box, do not touch the name
[device]
name = "harbour"   # as on the door
state = "{state}"

[cameras.door]  # the back one
source = "synthetic"

[alerts]
recipients = ["anna@example.org"]
[mail]
sender = "alerts@example.org"
[[mail.relays]]
host = "127.0.0.1"
port = {port}
security = "opportunistic"   # inside the house
"""


def written(folder: Path, port: int = 25) -> tuple[Path, str]:
    """Write a configuration as a person did."""
    path = folder / "edged.toml"
    text = OLD.format(state=folder / "state", port=port)
    path.write_text(text)
    path.chmod(0o600)
    return path, text


async def test_a_file_that_is_there_is_changed_in_place(tmp_path: Path, clip: Path) -> None:
    """A camera is added and another person told; every other line stays, and the former file is kept."""
    async with serve_mail() as mailbox:
        path, text = written(tmp_path, mailbox.port)
        async with sitting("--config", str(path), "--pictures", str(tmp_path / "p")) as person:
            await person.sees("configured: door (synthetic)")
            await person.passes_strangers(until=MORE)
            await person.answers(MORE, str(tmp_path / "nothing.mp4"))
            await person.answers(f"there is no {tmp_path}/nothing.mp4", str(clip))
            await person.answers("smaller stream", str(clip))
            await person.sees("for detection: 160x120 h264")
            await person.answers("Use this camera?")
            await person.answers("Its name, for mails and pages", "film")
            await person.answers(MORE)
            await person.answers("Mail goes through 127.0.0.1 to anna@example.org. Change it? [y/N]", "y")
            await person.answers("To [anna@example.org]", "ben@example.org")
            for _ in range(4):
                await person.answers("]:")
            await person.sees("sent to ben@example.org")
            await person.answers("Address of the receiver", "-")
            await person.answers(f"Write {path}?")
            await person.sees(f"the former one is {path}.bak")
            assert await person.ends() == 0
    assert path.with_name("edged.toml.bak").read_text() == text
    assert path.read_text() == text.replace("anna@", "ben@").replace(
        'source = "synthetic"\n',
        f'source = "synthetic"\n\n[cameras.film]\nsource = "stream"\nurl = "{clip}"\nsubstream = "{clip}"\n',
    )
    assert [mail.recipients for mail in mailbox.mails] == [("ben@example.org",)]


async def test_nothing_new_changes_nothing(tmp_path: Path) -> None:
    """Enter all the way leaves the file as it is."""
    path, text = written(tmp_path)
    async with sitting("--config", str(path)) as person:
        await person.passes_strangers(until=MORE)
        for question in (MORE, "Change it? [y/N]", "Address of the receiver"):
            await person.answers(question)
        await person.sees("nothing is to be changed")
        assert await person.ends() == 0
    assert (path.read_text(), [each.name for each in tmp_path.iterdir()]) == (text, ["edged.toml"])


INTERRUPTED: tuple[tuple[str, Script], ...] = (
    ("looking for cameras", ()),
    (MORE, ()),
    ("taking a picture", ((MORE, "CLIP"), ("smaller stream", ""))),
    ("To [anna@example.org]", ((MORE, ""), ("Change it?", "y"))),
    ("The key that", ((MORE, ""), ("Change it?", ""), ("Address of", "http://127.0.0.1:9"), ("name there", ""))),
    ("Its name, for", ((MORE, "CLIP"), ("smaller stream", ""), ("Use this", ""))),
    ("Correct it?", ((MORE, ""), ("Change it?", ""), ("Address of", "http://127.0.0.1:9"), ("name", ""), ("key", "k"))),
)


@pytest.mark.parametrize(("at", "before"), INTERRUPTED, ids=[at for at, _ in INTERRUPTED])
async def test_ctrl_c_leaves_everything_as_it_was(tmp_path: Path, clip: Path, at: str, before: Script) -> None:
    """Whatever was answered: nothing is written, no file is left, and the code is a shell's for an interrupt."""
    path, text = written(tmp_path)
    (tmp_path / "tmp").mkdir()
    async with sitting("--config", str(path), environment={"TMPDIR": str(tmp_path / "tmp")}) as person:
        if before:
            await person.passes_strangers(until=MORE)
        await person.follows(tuple((q, str(clip) if a == "CLIP" else a) for q, a in before))
        if at == MORE:
            await person.passes_strangers(until=MORE)
        await person.sees(at)
        assert await person.interrupts() == 130
    assert path.read_text() == text
    assert sorted(each.name for each in tmp_path.iterdir()) == ["edged.toml", "tmp"]
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_an_end_of_the_input_is_no_answer(tmp_path: Path) -> None:
    """Ctrl-D, or a terminal that goes away, changes nothing and is told."""
    path, text = written(tmp_path)
    async with sitting("--config", str(path)) as person:
        await person.passes_strangers(until=MORE)
        await person.sees(MORE)
        person.types("\x04")
        await person.sees("the input ended before all was answered; nothing was changed")
        assert await person.ends() == 2
    assert path.read_text() == text


async def test_a_box_without_a_receiver_may_record_in_a_ring(tmp_path: Path, clip: Path) -> None:
    """Where clips go nowhere a person decides what happens when the disk is full; no question is left open."""
    path = tmp_path / "edged.toml"
    async with sitting("--config", str(path), environment={"TMPDIR": str(tmp_path)}) as person:
        await person.answers("Its name")
        await person.passes_strangers(until=MORE)
        await person.follows(((MORE, str(clip)), ("smaller stream", ""), ("Use this camera?", ""), ("Its name", "")))
        await person.follows(((MORE, ""), ("To [-]", ""), ("Address of the receiver", "")))
        await person.answers("let those of the least value go, so that recording goes on? [Y/n]")
        await person.answers(f"Write {path}?", "n")
        await person.sees("nothing was written")
        assert await person.ends() == 1
        assert not path.exists()
    config = draft(path, "", Answers(name="a", ring=True, cameras=(CameraAnswer(name="b", url=str(clip)),))).config
    assert config.outbox.delete_undelivered


async def test_a_broken_file_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    """What stands in it can't be kept, so a person has to look first."""
    path = tmp_path / "edged.toml"
    path.write_text("[device]\nnmae = 'a'\n")
    async with sitting("--config", str(path)) as person:
        await person.sees("device.nmae: is not a setting of edged; did you mean 'name'?")
        assert await person.ends() == 2


async def test_without_a_camera_nothing_is_written(tmp_path: Path) -> None:
    """There is no valid configuration without one."""
    path = tmp_path / "edged.toml"
    async with sitting("--config", str(path)) as person:
        await person.answers("Its name")
        await person.passes_strangers(until=MORE)
        await person.answers(MORE)
        await person.sees("without a camera there is nothing to watch; nothing was written")
        assert await person.ends() == 2
    assert list(tmp_path.iterdir()) == []
