"""`edged check` with real parts: a receiver, a mail server with a login, a camera's file; and each of them wrong."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from edged.app.check import Level, Row, check_all, exit_code
from edged.base.clock import SystemClock
from edged.base.config import parse
from edged.outbox.store import open_outbox
from edged.receiver.app import Serving, serve
from edged.receiver.settings import ReceiverConfig
from edged.settings import DeviceConfig
from edged.wire.keys import new_device_key
from tests.app.home import living, tables, toml, watching
from tests.app.test_client import strangers
from tests.mailbox import Mailbox, serve_mail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

FOOTAGE = Path(__file__).parent.parent / "data" / "bew_walking_by.mp4"
LOGIN = ("shop", "s3cret-words")
PERSON = "owner@example.org"


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """A place where everything is right, until a test makes one thing wrong in `tables`."""

    folder: Path
    receiver: Serving
    mailbox: Mailbox
    tables: dict[str, Any]

    def write(self) -> Path:
        """Write the configuration and return where it is."""
        path = self.folder / "edged.toml"
        path.write_text(toml(self.tables))
        return path

    async def check(self, *, send: bool = False) -> dict[str, Row]:
        """Return the rows by what they are about; the machine's own clock may be anything."""
        rows = await check_all(self.write(), send=send)
        found = {row.what: row for row in rows}
        assert len(found) == len(rows)
        clock = found.pop("clock")
        assert clock.level is (Level.OK if SystemClock().synced() else Level.WARN)
        return found

    async def wrong(self) -> dict[str, Row]:
        """Return the rows that are not ok."""
        return {what: row for what, row in (await self.check()).items() if row.level is not Level.OK}


def secret(path: Path, text: str) -> dict[str, str]:
    """Keep a secret in a private file and return how the configuration names it."""
    path.touch(mode=0o600)
    path.write_text(text)
    return {"file": str(path)}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A receiver that knows the device, a mail server with TLS and a login, a camera's file, a folder."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    home, usb, key = tmp_path / "receiver", tmp_path / "usb", new_device_key()
    home.mkdir(mode=0o700)
    usb.mkdir()
    config = ReceiverConfig(state=home, public_url="http://127.0.0.1:1", listen="127.0.0.1:0", name="hq")
    async with serve(config) as receiver, serve_mail(tls=context, login=LOGIN) as mailbox:
        await receiver.world.registry.add_device("shop", key, SystemClock().wall(), replace=False)
        relay = {
            "host": "127.0.0.1",
            "port": mailbox.port,
            "security": "starttls",
            "ca_file": str(tmp_path / "ca.pem"),
            "user": LOGIN[0],
            "password": secret(tmp_path / "password", LOGIN[1]),
        }
        made = tables(
            tmp_path / "state",
            cameras={"door": {"url": str(FOOTAGE)}},
            alerts={"recipients": [PERSON]},
            mail={"sender": "edged <shop@example.org>", "relays": [relay], "connect": "5s", "reply": "5s"},
            receiver={
                "url": f"http://127.0.0.1:{receiver.port}",
                "device": "shop",
                "key": secret(tmp_path / "key", key),
            },
            folders={"usb": {"path": str(usb), "require_mount": False}},
        )
        yield Site(folder=tmp_path, receiver=receiver, mailbox=mailbox, tables=made)


@pytest.mark.parametrize(
    ("levels", "code"),
    [([], 0), (["ok"], 0), (["ok", "warn"], 1), (["warn", "error", "ok"], 2), (["error"], 2)],
)
def test_exit_code(levels: list[str], code: int) -> None:
    """The worst row decides."""
    assert exit_code([Row(level=Level(level), what="x", text="y") for level in levels]) == code


async def test_everything_is_right_and_nothing_was_changed(site: Site) -> None:
    """Each part answers for itself; the state directory is not made, nothing is sent."""
    rows = await site.check()
    assert {what: row.level for what, row in rows.items() if row.level is not Level.OK} == {}
    assert list(rows) == [
        "configuration",
        "state directory",
        "database",
        "camera door",
        "receiver",
        "mail",
        "folder usb",
        "status page",
        "recipients",
    ]
    assert "the first start makes it in" in rows["state directory"].text
    assert "h264, first picture after" in rows["camera door"].text
    assert "the key of shop is accepted" in rows["receiver"].text
    assert "login as shop accepted" in rows["mail"].text
    assert rows["recipients"].text == PERSON
    assert not (site.folder / "state").exists()
    assert site.mailbox.mails == []


async def test_send_uploads_plays_and_mails(site: Site) -> None:
    """With --send a clip makes the whole round, and each recipient gets a test mail."""
    rows = await site.check(send=True)
    assert rows["upload"].level is Level.OK
    assert "receipt with proof: signed; fetched back, equal, 15 pictures played" in rows["upload"].text
    assert rows["test mail"].level is Level.OK
    (mail,) = site.mailbox.mails
    assert (mail.recipients, mail.message["X-Edged-Kind"]) == ((PERSON,), "test")


def rename_folder(site: Site, path: str, **more: Any) -> None:
    """Have copies go to `path`."""
    site.tables["folders"]["usb"] = {"path": path, **more}


def rename_footage(site: Site, path: Path) -> None:
    """Have the camera be another file."""
    site.tables["cameras"]["door"]["url"] = str(path)


def relay(site: Site) -> dict[str, Any]:
    """Return the relay's table."""
    found: dict[str, Any] = site.tables["mail"]["relays"][0]
    return found


def spoil_database(site: Site) -> None:
    """Leave a state directory with a file that is no database."""
    (site.folder / "state").mkdir(mode=0o700)
    (site.folder / "state" / "outbox.db").write_bytes(b"no database at all" * 100)


DAMAGE: dict[str, Callable[[Site], object]] = {
    "key": lambda site: secret(site.folder / "key", new_device_key()),
    "password": lambda site: secret(site.folder / "password", "other words"),
    "receiver away": lambda site: site.tables["receiver"].update(url="http://127.0.0.1:1"),
    "relay away": lambda site: relay(site).update(port=1),
    "authority": lambda site: trustme.CA().cert_pem.write_to_path(relay(site)["ca_file"]),
    "camera": lambda site: rename_footage(site, site.folder / "missing.mp4"),
    "no video": lambda site: rename_footage(site, Path(__file__)),
    "folder": lambda site: rename_folder(site, str(site.folder / "missing")),
    "folder is a file": lambda site: rename_folder(site, str(FOOTAGE), require_mount=False),
    "not mounted": lambda site: rename_folder(site, "/"),
    "state's disk": lambda site: site.tables["device"].update(
        state="/var/lib/edged-that-nobody-mounted", require_mount=True
    ),
    "state": lambda site: (site.folder / "state").write_text("a file"),
    "database": spoil_database,
}


@pytest.mark.parametrize(
    ("part", "what", "text", "hint"),
    [
        ("key", "receiver", "key", "correct the key"),
        ("password", "mail", "535", "correct the key or password"),
        ("receiver away", "receiver", "127.0.0.1:1", "receiver.url"),
        ("relay away", "mail", "127.0.0.1:1", "host, port and security"),
        ("authority", "mail", "certificate", ""),
        ("camera", "camera door", "missing.mp4", "its power, its address"),
        ("no video", "camera door", "test_check.py", "its power, its address"),
        ("folder", "folder usb", "does not exist", "mount it"),
        ("folder is a file", "folder usb", "is no directory", "mount it"),
        ("not mounted", "folder usb", "nothing is mounted at /", "mount it"),
        ("state's disk", "state directory", "nothing is mounted here", "device.state"),
        ("state", "state directory", "is no directory", "device.state"),
        ("database", "database", "not a database", "rebuilds it"),
    ],
)
async def test_what_is_wrong_is_an_error_in_its_row(site: Site, part: str, what: str, text: str, hint: str) -> None:
    """One row is an error, which says what is wrong and what to do; all the others are well."""
    DAMAGE[part](site)
    wrong = await site.wrong()
    if part == "state":
        wrong.pop("database", None)  # below what is no directory nothing can be looked at
    assert list(wrong) == [what]
    assert wrong[what].level is Level.ERROR
    assert text in wrong[what].text
    assert hint in wrong[what].hint
    assert LOGIN[1] not in str(wrong)


async def test_what_nobody_asked_for_is_a_warning(site: Site) -> None:
    """Without receiver and recipients edged works; that it was meant so, a person has to say."""
    for name in ("receiver", "alerts", "mail"):
        del site.tables[name]
    wrong = await site.wrong()
    assert {what: row.level for what, row in wrong.items()} == {"receiver": Level.WARN, "recipients": Level.WARN}
    assert all(row.hint for row in wrong.values())


async def test_a_status_page_that_others_can_reach_is_a_warning(site: Site) -> None:
    """It has no login; and an address that another program holds is an error."""
    site.tables["http"] = {"listen": "0.0.0.0:0"}
    (row,) = (await site.wrong()).values()
    assert (row.what, row.level) == ("status page", Level.WARN)
    assert "has no login" in row.text
    site.tables["http"] = {"listen": f"127.0.0.1:{site.receiver.port}"}
    (row,) = (await site.wrong()).values()
    assert (row.what, row.level) == ("status page", Level.ERROR)
    assert "http.listen" in row.hint


async def test_a_state_directory_that_cannot_be_made_is_an_error(site: Site) -> None:
    """Where there is none yet, the place above it is tried (proc(5) takes no files, not even from root)."""
    site.tables["device"]["state"] = "/proc/edged"
    row = (await site.wrong())["state directory"]
    assert row.level is Level.ERROR
    assert "can't be made in /proc" in row.text or "/proc is not writable" in row.text


async def test_mistakes_and_missing_secrets_are_the_whole_answer(site: Site) -> None:
    """Nothing is reached out for with a configuration that can't be used; each mistake is a row."""
    site.tables["log"] = {"level": "loud"}
    site.tables["device"]["name"] = "X"
    rows = await check_all(site.write(), send=True)
    assert [(row.level, row.what) for row in rows] == [(Level.ERROR, "configuration")] * 2
    del site.tables["log"]
    site.tables["device"]["name"] = "shop"
    (site.folder / "key").unlink()
    (row,) = await check_all(site.write(), send=True)
    assert row.text.startswith("receiver.key: ")
    (row,) = await check_all(site.folder / "missing.toml", send=False)
    assert "can't be read" in row.text
    assert site.mailbox.mails == []


async def test_a_made_state_directory_is_tried(site: Site) -> None:
    """What edged made before is written to and examined, and left as it was."""
    state = site.folder / "state"
    state.mkdir(mode=0o700)
    outbox = await open_outbox(state / "outbox.db", SystemClock())
    await outbox.close()
    content = (state / "outbox.db").read_bytes()
    rows = await site.check()
    assert "is writable, a sync takes" in rows["state directory"].text
    assert rows["database"].text == "outbox.db is sound"
    left = {path.name for path in state.iterdir()}
    assert left <= {"outbox.db", "outbox.db-shm", "outbox.db-wal"}  # SQLite's own, empty, of any reader
    assert (state / "outbox.db").read_bytes() == content


async def test_somebody_elses_state_directory_is_a_warning(site: Site) -> None:
    """Checked as another user, the answer would not hold for edged; nothing is written there."""
    state = strangers(site.folder / "state")
    site.tables["device"]["state"] = str(state)
    before = sorted(state.iterdir())
    wrong = await site.wrong()
    assert wrong["state directory"].level is Level.WARN
    assert "run edged check as that user" in wrong["state directory"].hint
    assert sorted(state.iterdir()) == before


async def test_beside_a_running_daemon_its_cameras_are_asked_of_it(site: Site) -> None:
    """What the daemon holds is not opened a second time; a new camera in the file is."""
    site.tables["cameras"] = tables(site.folder)["cameras"]
    async with living(parse(site.tables, DeviceConfig)) as world:
        await watching(world)
        site.tables["cameras"]["yard"] = {"url": str(FOOTAGE)}
        rows = await site.check()
        assert {what for what, row in rows.items() if row.level is Level.ERROR} == set()
        assert rows["camera door"].text == "in use by the running edged: delivers"
        assert "first picture after" in rows["camera yard"].text
        assert rows["state directory"].text.endswith("edged is running on it")
        assert (await world.outbox.counts()).waiting == 0


@pytest.mark.parametrize(
    ("act", "level", "text"),
    [
        ("", Level.WARN, "a reboot is not allowed; a reset of camera door is not allowed"),
        (
            '[reset.door]\nusb = ["99-9.9"]\n[reboot]\nallowed = true',
            Level.WARN,
            "camera door can't be reset: there is no device at 99-9.9",
        ),
        ("[reboot]\nallow = true", Level.ERROR, "did you mean 'allowed'?"),
    ],
)
async def test_what_edged_asks_the_privileged_helper_is_held_against_root_s_file(
    site: Site, act: str, level: Level, text: str
) -> None:
    """What it does not allow, or can't do, shows before the night in which it is needed."""
    if os.getuid() != 0:
        pytest.skip("only root's own file allows anything")
    (site.folder / "act.toml").write_text(act)
    site.tables["cameras"]["door"]["reset"] = True
    site.tables["recovery"] = {"reboot": True}
    wrong = await site.wrong()
    assert wrong["helper"].level is level
    assert text in wrong["helper"].text


async def test_a_helper_that_may_what_it_is_asked_for_is_ok(site: Site) -> None:
    """And without anything to ask for there is nothing to tell."""
    if os.getuid() != 0:
        pytest.skip("only root's own file allows anything")
    assert "helper" not in await site.check()
    (site.folder / "act.toml").write_text("[reboot]\nallowed = true")
    site.tables["recovery"] = {"reboot": True}
    assert (await site.check())["helper"].level is Level.OK
