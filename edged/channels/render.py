"""A mail from its content: rendered once, frozen, and sent byte for byte the same on every retry."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from typing import TYPE_CHECKING

import jinja2

from edged.channels import mime, times
from edged.channels.address import parse_mailbox
from edged.channels.content import incidents_of, kind_of
from edged.channels.headers import field, mailbox_field
from edged.channels.text import one_line
from edged.channels.wording import pictures_of, view_of

if TYPE_CHECKING:
    from edged.base.clock import Stamp
    from edged.channels.content import AlertContent, Letterhead


def message_id(key: str, sender: str) -> str:
    """Return the Message-ID of the delivery `key`: the same for every attempt, so that duplicates can be told."""
    return f"<{key}@{parse_mailbox(sender).domain}>"


def render_message(content: AlertContent, head: Letterhead, *, sender: str, recipient: str, key: str) -> bytes:
    """Return the finished mail. Same arguments, same bytes; `key` is the delivery's ([A-Za-z0-9._-]).

    `sender` and `recipient` are mailboxes ("a@b.example" or "Name <a@b.example>"); ValueError if one is not.
    Takes some milliseconds and reads templates: run it on a thread.
    """
    view = view_of(content, head)
    identity = message_id(key, sender)
    pictures = pictures_of(content)
    ids = [mime.content_id(identity, number) for number in range(len(pictures))]
    marks = {"start": mime.PICTURE_START, "end": mime.PICTURE_END}
    environment = _environment()
    return mime.assemble(
        mime.Parts(
            head=_head(content, head, view.subject, sender=sender, recipient=recipient, identity=identity),
            message_id=identity,
            text=environment.get_template("mail.txt").render(view=view),
            html=environment.get_template("mail.html").render(view=view, ids=ids, marks=marks),
            pictures=pictures,
        )
    )


def _head(
    content: AlertContent, letterhead: Letterhead, subject: str, *, sender: str, recipient: str, identity: str
) -> bytes:
    who = parse_mailbox(sender)
    named = replace(who, name=who.name or one_line(letterhead.site or letterhead.device, 64))
    incidents = ", ".join(incidents_of(content))
    return b"".join(
        [
            mailbox_field("From", named),
            mailbox_field("To", parse_mailbox(recipient)),
            field("Subject", one_line(subject, 160)),
            _date(letterhead.written),
            field("Message-ID", identity),
            field("Auto-Submitted", "auto-generated"),  # RFC 3834: no vacation answers, please
            field("X-Auto-Response-Suppress", "All"),  # the same for Exchange
            field("X-Edged-Kind", kind_of(content)),
            field("X-Edged-Incident", incidents) if incidents else b"",
        ]
    )


def _date(written: Stamp) -> bytes:
    # A mail from 1970 would be sorted out of sight; without a date the first server adds one (RFC 6409 8.1).
    if not times.is_set(written):
        return b""
    return field("Date", format_datetime(datetime.fromtimestamp(int(written.wall), UTC)))


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("edged.channels"),
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
