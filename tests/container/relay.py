"""A mail relay in a box's network, with a certificate and a login: `with relay(box, ...) as mails`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

from tests.mailbox import serve_mail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.container.lab import Box

LOGIN = "alerts@example.org"


@contextlib.contextmanager
def relay(box: Box, password: str, folder: Path) -> Iterator[tuple[int, Callable[[], list[str]]]]:
    """Run a relay on the box's loopback; yield its port, and what returns the logins of the mails it took.

    `folder` takes its files; the box trusts its certificate by /etc/edged/relay.pem.
    """
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(folder / "relay.pem"))
    box.put("/etc/edged/relay.pem", authority.cert_pem.bytes())
    enter = ["setpriv", "--pdeathsig=KILL", "nsenter", "-t", str(box.pid), "-n"]
    command = [*enter, sys.executable, "-m", "tests.container.relay", str(folder / "relay.pem")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{password}\n")  # not for the process list, which the test searches
    process.stdin.flush()
    port = int(process.stdout.readline())

    def mails() -> list[str]:
        found: list[str] = json.loads((folder / "mails.json").read_text(encoding="utf-8"))
        return found

    with process:
        try:
            yield port, mails
        finally:
            process.kill()


async def _serve(certificate: Path, password: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with serve_mail(tls=context, login=(LOGIN, password)) as mailbox:
        print(mailbox.port, flush=True)  # noqa: T201 -- what it was started for
        while True:
            (certificate.parent / "mails.json").write_text(json.dumps([mail.login for mail in mailbox.mails]))
            async with mailbox.arrived:
                await mailbox.arrived.wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.stdin.readline().strip()))
