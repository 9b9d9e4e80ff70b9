"""The lab itself: boxes are apart from each other and from their tree, and leave nothing on the machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.container import lab

pytestmark = pytest.mark.timeout(600)  # the first time a Debian is made


def test_two_boxes_of_one_tree_know_nothing_of_each_other() -> None:
    """Each has its files, its units and its groups; the tree stays as it was, and limits bind once enforced."""
    tree = lab.debian()
    with lab.boot(tree) as one, lab.boot(tree) as other:
        one.put("/etc/there", "one", mode=0o640, owner="nobody:daemon")
        assert one.read("/etc/there") == "one"
        assert one.run("stat", "-c", "%a %U:%G", "/etc/there").stdout == "640 nobody:daemon\n"
        assert not other.exists("/etc/there")
        assert not (tree / "etc/there").exists()
        for box in (one, other):
            box.enforce()
            box.run("systemd-run", "--unit=eater", "-p", "MemoryMax=30M", "-p", "MemorySwapMax=0", "tail", "/dev/zero")
            box.wait(lambda box=box: box.unit("eater", "Result") in {"oom-kill", "signal"}, "killed")  # type: ignore[misc]
        assert [entry["MESSAGE"] for entry in one.journal("-t", "systemd", "-g", "Started eater")]


def test_an_error_tells_what_the_command_said() -> None:
    """A command that fails raises its words, unless they are asked for; an endless wait tells what it waited for."""
    with lab.boot(lab.debian()) as box:
        with pytest.raises(AssertionError, match="No such file"):
            box.read("/nowhere")
        assert box.sh("echo no >&2; exit 3", check=False).returncode == 3
        with pytest.raises(AssertionError, match="never this"):
            box.wait(lambda: False, "never this", limit=0.2)
        assert box.run("sleep", "60", check=False, limit=0.2).returncode == 124


def test_a_killed_test_leaves_no_container(tmp_path: Path) -> None:
    """The system ends with the process that booted it, even by SIGKILL."""
    script = (
        "import os\nfrom tests.container import lab\n"
        "with lab.boot(lab.debian()) as box:\n    print(box.pid, flush=True)\n    os.kill(os.getpid(), 9)\n"
    )
    with subprocess.Popen(["python3", "-c", script], cwd=lab.REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
    for _ in range(600):
        if not Path(f"/proc/{pid}").exists():
            break
        subprocess.run(["sleep", "0.1"], check=True)
    assert not Path(f"/proc/{pid}").exists()


def test_what_does_not_boot_tells_why(tmp_path: Path) -> None:
    """Nspawn's own words are in the error."""
    with pytest.raises(AssertionError, match=r"did not start:\n.*nothing: No such"), lab.boot(tmp_path / "nothing"):
        pass
