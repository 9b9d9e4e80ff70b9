"""The privileged helper in a real systemd: asked by edged it does what root allows, asked by a hostile one no more."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.container import lab
from tests.container.site import drop_in, events, health

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.container.lab import Box

pytestmark = pytest.mark.timeout(600)  # the first one has the tree made

ID = "0123456789abcdef0123456789abcdef"
_DEVICE = """
[device]
name = "lab"
timezone = "Europe/Berlin"
[cameras.door]
{camera}
[recovery]
{recovery}
[outbox]
warn_share = "0%"
critical_share = "0%"
critical_free = "100MB"
"""
_DRAWN = 'source = "synthetic"\nsize = "320x180"\nsynthetic = { walks = [], lamps = [] }'
_MISSING = 'url = "/dev/video9"'
_ASK = "/run/edged/ask"


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """A box where edged runs, and the helper takes a short rest between two requests."""
    with lab.boot(lab.installed()) as box:
        box.put("/etc/edged/edged.toml", _DEVICE.format(camera=_DRAWN, recovery=""))
        with drop_in(box, "edged-act.service", "[Service]\nExecStopPost=\nExecStopPost=sleep 0.2\n"):
            box.run("systemctl", "start", "edged")
            as_edged(box, f"mkdir -p {_ASK}; chmod 770 {_ASK}")
            yield box


def as_edged(box: Box, script: str) -> None:
    """Run a script as whoever has taken edged over."""
    box.run("setpriv", "--reuid=edged", "--regid=edged", "--clear-groups", "sh", "-euc", f"umask 077; {script}")


def ask(box: Box, name: str) -> None:
    """Put a request there as edged does."""
    put = f"printf '{ID}\\nno answer\\n' >{_ASK}/.x; chmod 640 {_ASK}/.x; mv {_ASK}/.x {_ASK}/{name}"
    as_edged(box, put)


def taken(box: Box) -> bool:
    """Return whether no request waits and the helper has ended."""
    waiting = box.run("ls", _ASK).stdout
    return not waiting and box.unit("edged-act.service", "ActiveState") in {"inactive", "failed"}


def said(box: Box, event: str) -> list[dict[str, Any]]:
    """Return what the helper has told of one kind."""
    return box.journal("-u", "edged-act", f"EDGED_EVENT={event}")


def test_the_path_unit_waits_from_the_installation_on(box: Box) -> None:
    """It is enabled and harmless: without root's file nothing is allowed."""
    assert box.run("systemctl", "is-active", "edged-act.path").stdout == "active\n"
    assert not box.exists("/etc/edged/act.toml")


@pytest.mark.parametrize(("name", "why"), [("reboot", "allows no reboot"), ("reset-door", "no [reset.door]")])
def test_without_root_s_file_everything_is_refused(box: Box, name: str, why: str) -> None:
    """The answer is there for edged to read, and the journal has it with its fields."""
    ask(box, name)
    box.wait(lambda: taken(box), "the helper has taken it")
    answer = json.loads(box.run("runuser", "-u", "edged", "--", "cat", "/run/edged-act/answers.json").stdout)[name]
    assert (answer["id"], answer["outcome"]) == (ID, "refused")
    assert why in answer["text"]
    entry = said(box, "request refused")[-1]
    assert (entry["EDGED_REQUEST"], entry["EDGED_REASON"]) == (name, "no answer")
    assert entry["PRIORITY"] == "4"
    assert not box.exists("/var/lib/edged-act/ledger.json")


HOSTILE = {
    "a link to a secret": f"ln -s /etc/secret {_ASK}/reboot",
    "another name of a file": f"ln /run/edged/mine {_ASK}/reboot",
    "a pipe": f"mkfifo -m 666 {_ASK}/reboot",
    "a terabyte": f"truncate -s 1T {_ASK}/reboot; chmod 640 {_ASK}/reboot",
    "a folder": f"mkdir -m 777 {_ASK}/reset-door",
    "unreadable": f"touch {_ASK}/reboot; chmod 0 {_ASK}/reboot",
    "control characters": f"printf '%s' 'x' >{_ASK}/poweroff; chmod 640 {_ASK}/poweroff",
    "a hundred": f"for n in $(seq 100); do touch {_ASK}/reset-$n.; done",
}


def test_a_hostile_edged_gains_nothing(box: Box) -> None:
    """Though all were allowed: what is no honest small file is removed and named, and nothing behind it is read."""
    box.put("/etc/edged/act.toml", '[reset.door]\nusb = ["1-1.3"]\n[reboot]\nallowed = true\n')
    box.put("/etc/secret", f"{ID}\nhunter2\n", mode=0o600)  # root's own: the helper could read it
    as_edged(box, f"printf '{ID}\\nx\\n' >/run/edged/mine; chmod 640 /run/edged/mine")
    for what, script in HOSTILE.items():
        before = len(said(box, "not a request"))
        as_edged(box, script)
        box.wait(lambda: taken(box), f"{what} is taken")
        assert len(said(box, "not a request")) > before, what
    told = box.run("journalctl", "-q", "-o", "json", "--all").stdout + box.read("/run/edged-act/answers.json")
    assert "hunter2" not in told
    assert box.exists("/etc/secret")
    assert not said(box, "request done")
    assert box.run("systemctl", "is-active", "edged-act.path", "edged").stdout == "active\nactive\n"
    box.run("rm", "/etc/edged/act.toml")


def test_a_link_in_the_directory_s_place_leads_nowhere(box: Box) -> None:
    """Nothing where it leads is read or removed, the helper is not kept busy, and it hears again once that is over."""
    names = box.run("ls", "-A", "/etc").stdout
    as_edged(box, f"mv {_ASK} /run/edged/away; ln -s /etc {_ASK}")
    box.wait(lambda: len(said(box, "requests can't be taken")) > 2, "it has looked three times")
    as_edged(box, f"rm {_ASK}; mv /run/edged/away {_ASK}")
    assert box.run("ls", "-A", "/etc").stdout == names
    before = len(said(box, "request refused"))
    ask(box, "reboot")
    box.wait(lambda: len(said(box, "request refused")) > before, "it hears again")


def test_a_file_that_others_may_write_allows_nothing(box: Box) -> None:
    """Who can write it could grant himself everything; the unit is shown as failed."""
    box.put("/etc/edged/act.toml", "[reboot]\nallowed = true\n", mode=0o664, owner="root:edged")
    ask(box, "reboot")
    box.wait(lambda: taken(box), "the helper has taken it")
    assert said(box, "request refused")[-1]["EDGED_TEXT"] == "not configured: act.toml allows no reboot"
    assert box.unit("edged-act.service", "Result") == "exit-code"
    assert "chmod go-w" in said(box, "nothing is allowed")[-1]["EDGED_REASON"]
    box.run("rm", "/etc/edged/act.toml")


def test_edged_has_a_box_without_any_camera_rebooted_once_and_tells_why(tmp_path: Path) -> None:
    """The machine goes down in order and comes up with the reason; the same outage gets no second reboot that day."""
    state, helper, log = tmp_path / "state", tmp_path / "helper", tmp_path / "log"
    for folder in (state, helper, log):
        folder.mkdir()
    binds = [f"{state}:/var/lib/edged", f"{helper}:/var/lib/edged-act", f"{log}:/var/log/journal"]
    tree = lab.installed()
    with lab.boot(tree, binds=binds) as box:
        _begin(box)
        # nothing runs inside meanwhile: systemd would wait for it
        _until(lambda: not Path(f"/proc/{box.pid}").exists(), f"rebooted; {log}")
    (entry,) = json.loads((helper / "ledger.json").read_bytes())
    assert (entry["what"], entry["reason"]) == ("reboot", "no camera has delivered for 5 s")
    with lab.boot(tree, binds=binds) as box:
        (down,) = box.journal("-D", "/var/log/journal", "MESSAGE_ID=98268866d1d54a499c4e98921d93bc40")
        assert "reboot" in down["MESSAGE"]
        _begin(box)
        box.wait(lambda: events(box, "machine was rebooted"), "it tells why the machine was rebooted")
        (told,) = events(box, "machine was rebooted")
        assert told["EDGED_REASON"] == entry["reason"]
        box.wait(lambda: events(box, "reboot refused"), "the day's budget is spent")
        assert "budget: 1 in a day" in events(box, "reboot refused")[0]["EDGED_TEXT"]
        page = health(box)["subsystems"]["notices"]["reasons"]
        assert re.match(r"This device was rebooted on .* CET: no camera has delivered for 5 s\.$", page[0])
        assert "and refused: budget: 1 in a day are done." in page[1]
        assert not (state / "left.json").exists()


def _begin(box: Box) -> None:
    """Start edged with a camera that is not there, and a helper that may reboot."""
    box.put("/etc/edged/act.toml", "[reboot]\nallowed = true\n")
    recovery = 'reboot = true\nreboot_after = "2s"'
    box.put("/etc/edged/edged.toml", _DEVICE.format(camera=_MISSING, recovery=recovery))
    # the container's own boot id is laid over this machine's, which is what a service with a /proc of its own sees
    box.sh("cat /proc/sys/kernel/random/boot_id >/run/boot-id")
    for unit in ("edged", "edged-act"):
        text = "[Service]\nBindReadOnlyPaths=/run/boot-id:/proc/sys/kernel/random/boot_id\n"
        box.put(f"/run/systemd/system/{unit}.service.d/boot.conf", text)
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "start", "edged")


def _until(true: Callable[[], bool], what: str) -> None:
    end = time.perf_counter() + 120.0
    while not true():
        assert time.perf_counter() < end, what
        time.sleep(0.1)
