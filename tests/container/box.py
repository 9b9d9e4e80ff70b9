"""A booted tree: systemd-nspawn starts it over a throw-away layer, nsenter acts in it, and no way out leaves anything.

nspawn runs in a process namespace of its own that dies with this process, since a container outlives a killed nspawn.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tests.container import machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_START = 120.0  # seconds, on a starved machine or an emulated processor
_END = 30.0
_WAIT = 180.0
_TICK = 0.05
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CONTROLLERS = ("memory", "devices", "pids", "cpu", "blkio")


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A running system; `pid` is its systemd as this machine sees it."""

    pid: int
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, *command: str, limit: float = 300.0) -> list[str]:
        """Return the command that runs `command` inside and ends it after `limit` seconds, for subprocess."""
        words = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "SYSTEMD_PAGER": "", **self.environment}
        inside = ["env", "-i", *(f"{name}={value}" for name, value in words.items())]
        return ["nsenter", "-t", str(self.pid), "-a", *inside, "timeout", "-k", "5", str(limit), *command]

    def run(
        self,
        *command: str,
        check: bool = True,
        input: str | None = None,  # noqa: A002 -- as subprocess.run has it
        limit: float = 300.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root inside; AssertionError with what it said when it fails and `check` is set."""
        stdin = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        done: subprocess.CompletedProcess[str] = subprocess.run(
            self.command(*command, limit=limit), **stdin, capture_output=True, text=True, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{shlex.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def sh(self, script: str, *, check: bool = True, limit: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run the text of a shell script inside; it ends at the first command that fails."""
        return self.run("sh", "-eu", "-c", script, check=check, limit=limit)

    def put(self, path: str, text: str | bytes, mode: int = 0o644, owner: str = "") -> None:
        """Write a file, with the folders above it; `owner` is `user:group`, root's otherwise."""
        data = text.encode() if isinstance(text, str) else text
        own = 'chown "$2" "$1"' if owner else ":"
        script = f'mkdir -p "$(dirname "$1")"; cat >"$1"; chmod {mode:o} "$1"; {own}'
        command = self.command("sh", "-euc", script, "put", path, owner)
        subprocess.run(command, input=data, check=True, capture_output=True)

    def read(self, path: str) -> str:
        """Return a file's text."""
        return self.run("cat", path).stdout

    def exists(self, path: str) -> bool:
        """Return whether there is such a file or folder."""
        return self.run("test", "-e", path, check=False).returncode == 0

    def unit(self, name: str, wanted: str) -> str:
        """Return a property of a unit, as `systemctl show` gives it."""
        return self.run("systemctl", "show", "--value", "-p", wanted, name).stdout.strip()

    def journal(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the journal's entries that `arguments` choose, oldest first."""
        lines = self.run("journalctl", "-q", "--no-pager", "-o", "json", *arguments).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def wait(self, condition: Callable[[], object], what: str, limit: float = _WAIT) -> None:
        """Return when `condition()` is true; AssertionError with `what` and the journal's end when it never is."""
        until = time.perf_counter() + limit
        while not condition():
            if time.perf_counter() > until:
                said = self.run("journalctl", "-q", "--no-pager", "-n", "60", check=False).stdout
                raise AssertionError(f"not in {limit:.0f} s: {what}\n{said}")
            time.sleep(_TICK)

    def enforce(self) -> None:
        """Let systemd inside use the controllers: nspawn mounts those of version 1 read-only, so limits don't bind."""
        mounts = [f"/sys/fs/cgroup/{name}" for name in _CONTROLLERS]
        self.sh("\n".join(f"[ ! -d {path} ] || mount -o remount,rw,bind {path}" for path in mounts))
        self.run("systemctl", "daemon-reexec")


@contextlib.contextmanager
def boot(
    tree: Path,
    *,
    network: bool = False,
    binds: Sequence[str] = (),
    options: Sequence[str] = (),
    keep: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Box]:
    """Boot `tree` and yield the running system, which is stopped at the end.

    Without `network` it has a loopback of its own and nothing else; with it this machine's network, and pip and apt
    find what they find here. `binds` are nspawn's `SOURCE[:TARGET[:OPTIONS]]`, read-only with the option "ro";
    `options` go to nspawn as they are. What is written is gone afterwards, unless `keep` is set: then it is written to
    the tree, and the system is shut down in order. AssertionError tells why it does not boot.
    """
    machine.require()
    if keep and tree.parent == machine.CACHE and tree.suffix != machine.HALF:
        raise ValueError(f"{tree} is complete and others boot it: copy it to change it")
    name = machine.box_name()
    command = [
        *("setpriv", "--pdeathsig=KILL", "unshare", "--pid", "--fork", "--mount-proc"),
        # what this machine unmounts goes there, too: a copy of a mount would keep another test's disk in use
        *("--propagation=slave", "--kill-child=KILL"),
        *("systemd-nspawn", "-q", "-D", str(tree), "-M", name, "--register=no", "--keep-unit", "--console=pipe"),
        *(machine.network_options() if network else ["--private-network"]),
        *([] if keep else ["--volatile=overlay"]),
        *(_bind(bind) for bind in binds),
        *options,
        "--boot",
    ]
    groups = machine.cgroups(name)
    settings = (machine.network_environment() if network else {}) | dict(environment or {})
    with tempfile.TemporaryFile() as console:
        process = _start(command, groups, console)
        try:
            box = Box(pid=_systemd(process, console), environment=settings)
            _settled(box, process, console)
            if network:
                box.put("/etc/apt/apt.conf.d/99machine", "\n".join(machine.apt_settings()) + "\n")
            yield box
            if keep:
                box.run("systemctl", "poweroff", check=False)
                process.wait(_END)
        finally:
            process.kill()  # the whole process namespace goes with it
            process.wait()
            _tidy(name, groups)


def _bind(bind: str) -> str:
    source, _, rest = bind.partition(":")
    target, _, options = rest.partition(":")
    return f"--bind{'-ro' if options == 'ro' else ''}={source}:{target or source}"


def _start(command: list[str], groups: list[Path], console: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start nspawn in its groups; a shell enters them first, since a process can't be started in one of version 1."""
    enter = " && ".join(f"echo $$ >{shlex.quote(str(group / 'cgroup.procs'))}" for group in groups)
    return subprocess.Popen(
        ["sh", "-c", f"{enter} && exec {shlex.join(command)}"],
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=subprocess.STDOUT,
        env={**os.environ, "SYSTEMD_NSPAWN_LOCK": "0"},  # the tree is only read: many may be booted from it
    )


def _systemd(process: subprocess.Popen[bytes], console: IO[bytes]) -> int:
    """Return the container's first process: the child of nspawn, which is the child of unshare."""
    until = time.perf_counter() + _START
    while time.perf_counter() < until:
        for nspawn in _children(process.pid):
            for child in _children(nspawn):
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{child}/comm").read_text(encoding="ascii").strip() == "systemd":
                        return child
        if process.poll() is not None:
            break
        time.sleep(_TICK)
    raise AssertionError(f"the container did not start:\n{_said(console)}")


def _tidy(name: str, groups: list[Path]) -> None:
    """Remove what nspawn leaves; the last processes take a moment to end."""
    until = time.perf_counter() + _END
    while any(group.exists() for group in groups) and time.perf_counter() < until:
        machine.remove_cgroups(groups)
        time.sleep(_TICK / 5)
    with contextlib.suppress(OSError):
        Path("/run/systemd/nspawn/propagate", name).rmdir()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def _settled(box: Box, process: subprocess.Popen[bytes], console: IO[bytes]) -> None:
    """Wait until systemd has come up; "degraded" is up, too."""
    until = time.perf_counter() + _START
    state = ""
    while process.poll() is None and time.perf_counter() < until:
        state = box.run("systemctl", "is-system-running", check=False).stdout.strip()
        if state in {"running", "degraded"}:
            return
        time.sleep(_TICK)
    jobs = box.run("systemctl", "list-jobs", check=False).stdout
    raise AssertionError(f"the container did not come up, it is {state!r}:\n{jobs}\n{_said(console)}")


def _said(console: IO[bytes]) -> str:
    console.seek(0)
    return console.read().decode(errors="replace")[-4000:]
