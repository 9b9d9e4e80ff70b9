"""The demo's mail catcher takes mail as a server does and keeps each as a file."""

from __future__ import annotations

from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest

from edged.base.clock import SystemClock
from edged.base.errors import RefusedError
from edged.channels.render import render_message
from edged.channels.settings import MailSettings, Relay, Security
from edged.channels.smtp import Mailer, resolve
from scripts.demo_parts.mail_catcher import MailCatcher
from tests.channels.samples import LETTERHEAD, contents

if TYPE_CHECKING:
    from pathlib import Path


async def test_each_mail_becomes_a_file(tmp_path: Path) -> None:
    """Before it has a folder it asks to come back; then each mail is an .eml with its envelope in front."""
    message = render_message(contents()["test"], LETTERHEAD, sender="a@example.org", recipient="b@example.org", key="k")
    async with MailCatcher() as catcher:
        settings = MailSettings(
            sender="a@example.org",
            relays=(Relay(host="127.0.0.1", port=catcher.port, security=Security.OPPORTUNISTIC),),
        )
        mailer = Mailer(settings, resolve(settings), SystemClock())
        with pytest.raises(RefusedError, match="not ready yet"):
            await mailer.send(message, recipient="b@example.org")
        catcher.deliver_to(tmp_path / "mails")
        for recipient in ("b@example.org", "c@example.org"):
            await mailer.send(message, recipient=recipient)
    kept = sorted((tmp_path / "mails").iterdir())
    assert [path.name for path in kept] == ["0001.eml", "0002.eml"]
    mail = message_from_bytes(kept[1].read_bytes(), policy=policy.SMTP)
    assert (mail["X-MailFrom"], mail["X-RcptTo"]) == ("a@example.org", "c@example.org")
    assert kept[1].read_bytes().endswith(message)
