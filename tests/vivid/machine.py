"""Small virtual machines with hardware of their own: Debian's kernel, its `vivid` camera driver, USB devices of QEMU.

QEMU emulates them, so they need neither hardware nor rights. The root of one is this machine's, read-only, so the
Python of the tests runs in it as it is; another boots a tree with its systemd. The kernel comes from Debian's package,
which is fetched once and never installed.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import platform
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CACHE = Path.home() / ".cache" / "edged-tests"
INSIDE = Path(__file__).with_name("inside.py")
_META = "linux-image-amd64"  # depends on the newest kernel's package
_WANTED = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "xhci_pci", "vivid")
# where these and what they depend on lie in the package: all else is left there
_PLACES = re.compile(
    r"/kernel/(drivers/(virtio|usb/(common|core|host)|media/(mc|v4l2-core|common|rc|cec|test-drivers))|net/9p|fs)/.*\.ko(\.xz)?$"
)

_INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
$b mount -t sysfs sys /sys
{insmod}
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro host /root
for place in dev proc sys; do $b mount --bind /$place /root/$place; done
$b mount -t tmpfs run /root/run
TMPDIR=/run $b chroot /root {python} {inside}
$b poweroff -f
"""

# the tree below, and above it memory, where all that the system writes goes
_SYSTEM = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
{insmod}
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro host /lower
$b mount -t tmpfs upper /upper
$b mkdir /upper/files /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work overlay /root
$b cp /{script} /root/{script}
$b cp /{unit} /root/etc/systemd/system
$b mkdir -p /root/etc/systemd/system/multi-user.target.wants
$b ln -s ../{unit} /root/etc/systemd/system/multi-user.target.wants
$b umount /dev
exec $b switch_root /root /sbin/init
"""
_UNIT = """[Unit]
After=edged-act.path
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
ExecStart={python} /{script}
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
TimeoutStartSec={seconds}
"""


class UnavailableError(Exception):
    """There can be no such machine here; the text says what is missing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kernel:
    """A kernel's image, and the modules in the order in which they are loaded."""

    image: Path
    modules: tuple[Path, ...]


def run_inside(seconds: float) -> list[dict[str, Any]]:
    """Boot, run `inside.py`, and return what it said; UnavailableError, subprocess.TimeoutExpired."""

    def files(kernel: Kernel) -> dict[str, bytes]:
        insmod = _insmod(kernel)
        return {"init": _INIT.format(insmod=insmod, python=sys.executable, inside=INSIDE).encode()}

    return _told(_run(files, Path("/"), "", (), seconds))


def run_system(
    tree: Path, script: Path, python: str, *, without: Sequence[str], devices: Sequence[str], seconds: float
) -> list[dict[str, Any]]:
    """Boot `tree` with its systemd and QEMU's `devices`, and return what `script` said, run by the tree's `python`.

    Units `without` which it is to live are not started: each costs an emulated processor its time. The last entry is
    {"what": "restarted"} if it ended in a reboot. UnavailableError, subprocess.TimeoutExpired.
    """
    unit = "inside.service"

    def files(kernel: Kernel) -> dict[str, bytes]:
        return {
            "init": _SYSTEM.format(insmod=_insmod(kernel), script=script.name, unit=unit).encode(),
            script.name: script.read_bytes(),
            unit: _UNIT.format(python=python, script=script.name, seconds=seconds).encode(),
        }

    said = _run(files, tree, " ".join(f"systemd.mask={name}" for name in without), devices, seconds)
    return _told(said) + ([{"what": "restarted"}] if "reboot: Restarting system" in said else [])


def _run(
    files: Callable[[Kernel], dict[str, bytes]], root: Path, options: str, devices: Sequence[str], seconds: float
) -> str:
    if platform.machine() != "x86_64":
        raise UnavailableError("the kernel that is fetched is for x86-64")
    if missing := [tool for tool in ("qemu-system-x86_64", "busybox", "apt-get", "dpkg-deb") if not shutil.which(tool)]:
        raise UnavailableError(f"not installed: {', '.join(missing)} (./scripts/setup --tests)")
    kernel = _kernel()
    with TemporaryDirectory() as folder:
        initrd = Path(folder) / "initrd"
        initrd.write_bytes(_initrd(kernel, files(kernel)))
        command = _command(kernel.image, initrd, root, options, devices)
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=True)
    return done.stdout.decode(errors="replace")


def _told(said: str) -> list[dict[str, Any]]:
    lines = said.splitlines()
    return [json.loads(line[line.index("{") :]) for line in lines if '{"what"' in line]


def _command(image: Path, initrd: Path, root: Path, options: str, devices: Sequence[str]) -> list[str]:
    share = f"local,id=host,path={root},security_model=none,readonly=on,multidevs=remap"
    return [
        *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "2", "-m", "1024"),
        *("-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio"),
        *("-kernel", str(image), "-initrd", str(initrd), "-append", f"console=ttyS0 quiet panic=-1 {options}"),
        *("-fsdev", share, "-device", "virtio-9p-pci,fsdev=host,mount_tag=host"),
        *(part for device in devices for part in ("-device", device)),
    ]


def _kernel() -> Kernel:
    """Return the kernel that was fetched before, or fetch it."""
    package = _package()
    folder = CACHE / f"{package}-{hashlib.sha256(f'{_WANTED}{_PLACES}'.encode()).hexdigest()[:8]}"
    if not (folder / "order").is_file():
        with TemporaryDirectory() as download:
            subprocess.run(["apt-get", "download", "-q", package], cwd=download, check=True, capture_output=True)
            (file,) = Path(download).iterdir()
            _unpack(file, folder)
    names = (folder / "order").read_text().split()
    return Kernel(image=folder / "vmlinuz", modules=tuple(folder / f"{name}.ko" for name in names))


def _package() -> str:
    told = subprocess.run(["apt-cache", "depends", _META], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Depends: (linux-image-\S+)", told)
    if found is None:
        raise UnavailableError(f"apt knows no {_META} (apt-get update)")
    return found[1]


def _unpack(package: Path, folder: Path) -> None:
    """Keep the image, and the modules that are needed, in `folder`; its file "order" comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    modules: dict[str, bytes] = {}
    command = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as files,
        tarfile.open(fileobj=files.stdout, mode="r|") as archive,
    ):
        for member in archive:
            taken = archive.extractfile(member) if member.isfile() else None
            if taken is not None and "/boot/vmlinuz" in member.name:
                (folder / "vmlinuz").write_bytes(taken.read())
            elif taken is not None and _PLACES.search(member.name):
                data = taken.read()
                name = Path(member.name).name.partition(".")[0].replace("-", "_")
                modules[name] = lzma.decompress(data) if member.name.endswith(".xz") else data
    order = _in_order(modules)
    for name in order:
        (folder / f"{name}.ko").write_bytes(modules[name])
    (folder / "order").write_text(" ".join(order))


def _in_order(modules: dict[str, bytes]) -> list[str]:
    """Return the modules that are wanted, each after those that it depends on."""
    order: list[str] = []

    def add(name: str) -> None:
        found = re.search(rb"\0depends=([^\0]*)\0", modules.get(name, b""))
        for other in found[1].decode().replace("-", "_").split(",") if found is not None else ():
            if other in modules:  # what is built in is no module
                add(other)
        if name not in order:
            order.append(name)

    for name in _WANTED:
        add(name)
    return order


def _insmod(kernel: Kernel) -> str:
    # one camera, which has nodes besides for output and metadata, as real ones have
    options = {"vivid": " n_devs=1 node_types=0x20101 num_inputs=1 input_types=0"}
    return "\n".join(f"$b insmod /{path.name}{options.get(path.stem, '')}" for path in kernel.modules)


def _initrd(kernel: Kernel, files: dict[str, bytes]) -> bytes:
    archive = Archive()
    for folder in ("bin", "proc", "sys", "dev", "root", "lower", "upper"):
        archive.add(folder, stat.S_IFDIR | 0o755)
    for name, data in files.items():
        archive.add(name, stat.S_IFREG | 0o755, data)
    archive.add("bin/busybox", stat.S_IFREG | 0o755, Path(shutil.which("busybox") or "").read_bytes())
    for path in kernel.modules:
        archive.add(path.name, stat.S_IFREG | 0o644, path.read_bytes())
    return archive.whole()


class Archive:
    """A cpio archive as the kernel unpacks it (its documentation: initramfs buffer format, "newc")."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._count = 0

    def add(self, name: str, mode: int, data: bytes = b"") -> None:
        """Add a file or a folder."""
        self._count += 1
        fields = (self._count, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        self._data += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        self._pad()
        self._data += data
        self._pad()

    def whole(self) -> bytes:
        """Return the archive with its end."""
        self.add("TRAILER!!!", 0)
        return bytes(self._data)

    def _pad(self) -> None:
        self._data += bytes(-len(self._data) % 4)
