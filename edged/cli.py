"""The commands: parse, call, print."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from edged import __version__
from edged.base.errors import ConfigError, EdgedError
from edged.base.units import Duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DEVICE_CONFIG = Path("/etc/edged/edged.toml")
_RECEIVER_CONFIG = Path("/etc/edged/receiver.toml")
_INTERRUPTED, _BROKEN_PIPE = 128 + 2, 128 + 13  # as a shell tells SIGINT and SIGPIPE
_COPYING = 3600.0  # seconds that taking large files into the spool of a slow card may last


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code: 0 done, 1 warnings, 2 error."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        code = run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output wants no more of it
        code = _BROKEN_PIPE
    except ConfigError as error:
        _tell_mistakes(options.config, error)
        code = 2
    except EdgedError as error:
        print(f"edged: {error}", file=sys.stderr)
        code = 2
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"edged: {place}{error.strerror or error}", file=sys.stderr)
        code = 2
    except sqlite3.OperationalError as error:  # locked, read-only, on a disk that is full or can't be read
        print(f"edged: the database: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = _INTERRUPTED
    sys.exit(code)


def _tell_mistakes(path: Path, error: ConfigError) -> None:
    if [mistake.key for mistake in error.mistakes] == [""]:  # about the file as a whole, which it names
        print(f"edged: {error}", file=sys.stderr)
        return
    print(f"edged: {path} can't be used:", file=sys.stderr)
    for mistake in error.mistakes:
        print(f"  {mistake}", file=sys.stderr)


# ------------------------------------------------------------------------------------------- the grammar


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edged", description="Trustworthy cameras at the end of a bad connection.")
    parser.add_argument("--version", action="version", version=f"edged {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _device_commands(commands)
    _outbox_commands(commands)
    _receiver_commands(commands)
    return parser


def _add(
    commands: Any,
    name: str,
    text: str,
    run: Callable[[argparse.Namespace], int],
    *,
    config: Path = _DEVICE_CONFIG,
    nested: bool = False,
) -> argparse.ArgumentParser:
    """Add a command; a `nested` one leaves the configuration's default to the command above it."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    default = argparse.SUPPRESS if nested else config
    parser.add_argument("--config", type=Path, default=default, metavar="FILE", help=f"default: {config}")
    parser.set_defaults(run=run)
    return parser


def _device_commands(commands: Any) -> None:
    _add(commands, "run", "run the daemon", _run)
    check = _add(commands, "check", "validate everything that can be validated before a start", _check)
    check.add_argument(
        "--send", action="store_true", help="also upload a small file, play it back, and send a test mail"
    )
    setup = _add(commands, "setup", "find cameras and write the configuration", _setup)
    setup.add_argument("--found", action="store_true", help="only say which cameras are found")
    setup.add_argument("--json", action="store_true", help="with --found: print JSON")
    setup.add_argument("--yes", action="store_true", help="ask nothing: write what is found and not yet configured")
    setup.add_argument("--pictures", type=Path, metavar="DIR", help="where a picture of each camera is put")
    record = _add(commands, "record", "record by hand: an incident of kind manual", _record)
    record.add_argument("camera", metavar="CAMERA")
    record.add_argument("--for", dest="seconds", type=_seconds, default=60.0, metavar="TIME", help='300 or "5min"')
    enqueue = _add(commands, "enqueue", "put files through the outbox to the receiver", _enqueue)
    enqueue.add_argument("files", type=Path, nargs="+", metavar="FILE")
    for name, text in (("arm", "raise alerts"), ("disarm", "raise no alerts"), ("auto", "follow the armed schedule")):
        parser = _add(commands, name, f"{text}, until told otherwise", _arm)
        parser.set_defaults(order=name)
        parser.add_argument("camera", metavar="CAMERA", nargs="?", help="default: all cameras")
    text = "have the running daemon take the changed configuration; exits 1 if some of it needs a restart"
    _add(commands, "reload", text, _reload)
    drain = _add(commands, "drain", "stop watching, close what is open, wait until everything is delivered", _drain)
    drain.add_argument("--wait", type=_seconds, default=3600.0, metavar="TIME", help="give up after so long")
    ensure = _add(commands, "ensure", "have all that is kept proven to be elsewhere; exits 0 once it is", _ensure)
    ensure.add_argument("--wait", type=_seconds, default=0.0, metavar="TIME", help="wait for it at most so long")
    form = ensure.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--log", action="store_true", help="tell the result as events of the log, for a timer")
    text = "compare rows, sidecars, files and receipts; exits 0 if nothing is wrong, 1 if something is or was"
    fsck = _add(commands, "fsck", text, _fsck)
    fsck.add_argument("--repair", action="store_true", help="put right what is wrong; needs edged to be stopped")


def _outbox_commands(commands: Any) -> None:
    for group, text, actions in (
        ("outbox", "what waits to be delivered", ("list", "show", "retry", "drop")),
        ("incidents", "what has happened", ("list", "show")),
    ):
        sub = commands.add_parser(group, help=text, description=text).add_subparsers(metavar="ACTION", required=True)
        for action in actions:
            parser = _add(sub, action, _ACTIONS[group, action], _store_command)
            parser.set_defaults(command=f"{group}.{action}")
            parser.add_argument("--json", action="store_true", help="print JSON")
            if action == "list":
                parser.add_argument("--limit", type=int, default=50, help="default: %(default)s")
                continue
            number = int if group == "outbox" else str
            optional = "?" if action == "retry" else None
            parser.add_argument("id", metavar="ID", type=number, nargs=optional, help="an id as the list shows it")
            if action == "retry":
                parser.add_argument("--all", action="store_true", help="all that are dead or wait for a person")


_ACTIONS = {
    ("outbox", "list"): "list deliveries, newest first",
    ("outbox", "show"): "show one delivery",
    ("outbox", "retry"): "try a dead or waiting delivery again at once; releases one that waits for a person",
    ("outbox", "drop"): "give a delivery up; the loss is entered in the ledger",
    ("incidents", "list"): "list the newest incidents",
    ("incidents", "show"): "show one incident with its clips and deliveries",
}


def _receiver_commands(commands: Any) -> None:
    text = "run the receiver; or keep its devices and users, or check what it holds"
    receive = _add(commands, "receive", text, _receive, config=_RECEIVER_CONFIG)
    groups = receive.add_subparsers(metavar="device|user|fsck")
    text = "compare rows, records and contents; exits 0 if nothing is wrong, 1 if something is or was"
    fsck = _add(groups, "fsck", text, _receiver_fsck, config=_RECEIVER_CONFIG, nested=True)
    fsck.add_argument("--repair", action="store_true", help="put right what is wrong; needs the receiver to be stopped")
    for group in ("device", "user"):
        actions = groups.add_parser(group, help=f"keep the receiver's {group}s").add_subparsers(
            metavar="ACTION", required=True
        )
        for action in ("add", "list", "remove"):
            text = f"{action} {group}s"
            parser = _add(actions, action, text, _receiver_admin, config=_RECEIVER_CONFIG, nested=True)
            parser.set_defaults(group=group, action=action)
            if action != "list":
                parser.add_argument("name", metavar="NAME")
            if (group, action) == ("device", "add"):
                parser.add_argument("--replace", action="store_true", help="give a known device a new key")


def _seconds(text: str) -> float:
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else float(Duration.parse(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


# ----------------------------------------------------------------------------------------- the commands


def _run(options: argparse.Namespace) -> int:
    from edged.app.memory import economise

    economise()  # before numpy and the threads
    from edged.app.daemon import run

    return run(options.config)


def _check(options: argparse.Namespace) -> int:
    from edged.app.check import check_all, exit_code
    from edged.base.log import configure

    configure(style="text", level="error")
    rows = asyncio.run(check_all(options.config, send=options.send))
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"{row.level:<5}  {row.what:<{width}}  {row.text}")
        if row.hint:
            print(f"{'':<5}  {'':<{width}}  -> {row.hint}")
    return exit_code(rows)


def _setup(options: argparse.Namespace) -> int:
    from edged.app.setup import unattended
    from edged.app.setup.terminal import is_terminal
    from edged.base.log import configure

    configure(style="text", level="error")
    if options.found:
        print(unattended.found(options.pictures, as_json=options.json))
    elif options.yes:
        print("\n".join(unattended.configure(options.config.absolute())))
    elif is_terminal():
        from edged.app.setup.dialogue import converse

        return converse(options.config, options.pictures)
    else:
        raise EdgedError("setup asks questions on a terminal; without one say --found or --yes")
    return 0


def _record(options: argparse.Namespace) -> int:
    result = _ask(options, "record", {"camera": options.camera, "seconds": options.seconds})
    print(f"recording {options.camera} for {options.seconds:g} s as incident {result['incident']}")
    return 0


def _enqueue(options: argparse.Namespace) -> int:
    files = [str(path.resolve()) for path in options.files]
    for row in _ask(options, "enqueue", {"files": files}, timeout=_COPYING):
        print(f"{row['name']}  {row['size']} bytes  delivery {row['delivery']}")
    return 0


def _arm(options: argparse.Namespace) -> int:
    for camera, armed in _ask(options, "arm", {"order": options.order, "camera": options.camera}).items():
        print(f"{camera}: {'armed' if armed else 'disarmed'}")
    return 0


def _reload(options: argparse.Namespace) -> int:
    from edged.app.reload_order import lines, order

    result = asyncio.run(order(options.config.absolute()))
    print("\n".join(lines(result)))
    return 1 if result["restart"] else 0


def _drain(options: argparse.Namespace) -> int:
    result = _ask(options, "drain", {"wait": options.wait}, timeout=options.wait + 30.0)
    print("everything is delivered" if result["empty"] else f"{result['waiting']} deliveries still wait")
    return 0 if result["empty"] else 1


def _ensure(options: argparse.Namespace) -> int:
    from edged.app.ensure import Progress, ensure, lines, report
    from edged.base.log import configure
    from edged.settings import load_device

    config = load_device(options.config)
    if options.log:
        configure(style=config.log.style, level=config.log.level)
    progress = Progress(sys.stderr if options.wait and not options.log else None)
    result = asyncio.run(ensure(config, wait=options.wait, progress=progress.show))
    progress.end()
    if options.log:
        report(result)
    else:
        print(json.dumps(result, indent=2) if options.json else "\n".join(lines(result)))
    return 0 if result["safe"] else 1


def _fsck(options: argparse.Namespace) -> int:
    from edged.app.fsck import fsck
    from edged.settings import load_device

    report = asyncio.run(fsck(load_device(options.config), repair=options.repair))
    print("\n".join(report.lines))
    return report.code


def _store_command(options: argparse.Namespace) -> int:
    from edged.app.listing import listing
    from edged.settings import load_device

    zone = ZoneInfo(load_device(options.config).device.timezone)
    result = _ask(options, options.command, _store_args(options))
    print(json.dumps(result, indent=2) if options.json else listing(options.command, result, zone))
    return 0


def _store_args(options: argparse.Namespace) -> dict[str, Any]:
    if hasattr(options, "limit"):
        return {"limit": options.limit}
    wants_all = getattr(options, "all", False)
    if wants_all == (options.id is not None):
        raise EdgedError("name either the ID of a delivery, or --all")
    if wants_all:
        return {"all": True}
    return {"id": options.id}


def _ask(options: argparse.Namespace, command: str, args: dict[str, Any], timeout: float = 60.0) -> Any:
    from edged.app.client import ask
    from edged.settings import load_device

    return asyncio.run(ask(load_device(options.config), command, args, timeout=timeout))


def _receive(options: argparse.Namespace) -> int:
    from edged.base.config import load
    from edged.receiver.app import run
    from edged.receiver.settings import ReceiverConfig

    return run(load(options.config, ReceiverConfig))


def _receiver_fsck(options: argparse.Namespace) -> int:
    from edged.base.config import load
    from edged.receiver.fsck import fsck
    from edged.receiver.settings import ReceiverConfig

    report = asyncio.run(fsck(load(options.config, ReceiverConfig), repair=options.repair))
    print("\n".join(report.lines))
    return report.code


def _receiver_admin(options: argparse.Namespace) -> int:
    from edged.base.config import load
    from edged.receiver import admin
    from edged.receiver.settings import ReceiverConfig

    config = load(options.config, ReceiverConfig)
    match options.group, options.action:
        case "device", "add":
            print(asyncio.run(admin.add_device(config, options.name, replace=options.replace)))
            print("This key is shown once: put it where the device's configuration names it.", file=sys.stderr)
        case "user", "add":
            asyncio.run(admin.add_user(config, options.name, _new_password()))
            print(f"user {options.name} may log in")
        case group, "list":
            known = asyncio.run(admin.list_devices(config) if group == "device" else admin.list_users(config))
            for row in known:
                print("  ".join(f"{name}: {value}" for name, value in row.items()))
        case group, _:
            remove = admin.remove_device if group == "device" else admin.remove_user
            asyncio.run(remove(config, options.name))
            print(f"{group} {options.name} removed")
    return 0


def _new_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise EdgedError("the two passwords differ; nothing was changed")
    return first
