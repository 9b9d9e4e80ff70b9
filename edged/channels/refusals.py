"""What went wrong with a relay, by what the sender should do about it: SMTP replies and broken lines mapped once.

Reply codes are RFC 5321 4.2 and RFC 4954; enhanced codes (x.y.z in the text) RFC 3463.
"""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiosmtplib

from edged.base.errors import CredentialsError, DeliveryError, NoAnswerError, RefusedError, RejectedError
from edged.channels.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edged.base.clock import Clock

_LOGIN_CODES = frozenset({530, 534, 535, 538})
_TOO_LARGE = 552
_TOO_LARGE_ENHANCED = re.compile(r"\b5\.(2\.3|3\.4)\b")
_MAILBOX_FULL_ENHANCED = re.compile(r"\b5\.2\.2\b")
# OpenSSL's verification results (x509_vfy.h)
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _WRONG_HOST, _WRONG_ADDRESS = 9, 10, 18, 62, 64


class UnfitError(NoAnswerError):
    """The relay can't be trusted or does not offer what is configured: no fault of the mail, and nothing was sent."""


class TooLargeError(RejectedError):
    """The relay takes no mail of this size; a smaller one may pass."""


def refusal(where: str, code: int, text: str, *, about_mail: bool) -> DeliveryError:
    """Return the error for a reply that says no. `about_mail`: the reply is to this mail, not to the connection."""
    told = f"{where}: {code} {one_line(text, 300)}"
    if code in _LOGIN_CODES:
        return CredentialsError(f"{told} - check user and password of this relay")
    if not 400 <= code < 600:  # noqa: PLR2004 -- the range of refusals
        return RefusedError(f"{told} - this is no answer that SMTP knows here")
    if code < 500 or not about_mail:  # noqa: PLR2004 -- 4xx: for now
        return RefusedError(told)
    full = code == _TOO_LARGE and not _MAILBOX_FULL_ENHANCED.search(text)
    return TooLargeError(told) if full or _TOO_LARGE_ENHANCED.search(text) else RejectedError(told)


@contextmanager
def mapped(where: str, clock: Clock, *, about_mail: bool = False) -> Iterator[None]:
    """Turn what aiosmtplib, TLS and sockets raise inside into DeliveryErrors that begin with `where`."""
    try:
        yield
    except aiosmtplib.SMTPResponseException as error:
        raise refusal(where, error.code, error.message, about_mail=about_mail) from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise _no_answer(where, error, clock) from error


def _no_answer(where: str, error: Exception, clock: Clock) -> NoAnswerError:
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return UnfitError(f"{where}: {_certificate(cause, clock)}")
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        return UnfitError(f"{where}: no TLS could be agreed on ({cause.reason or cause}); check port and security")
    if isinstance(cause, socket.gaierror):
        return NoAnswerError(
            f"{where}: the name can't be looked up ({cause.strerror}): no internet, or a typing mistake"
        )
    if isinstance(cause, TimeoutError):
        return NoAnswerError(f"{where}: no answer in time")
    if isinstance(cause, ConnectionRefusedError):
        return NoAnswerError(f"{where}: connection refused; is the port right?")
    reason = getattr(cause, "strerror", None) or one_line(str(cause), 200) or "connection lost"
    return NoAnswerError(f"{where}: {reason}")


def _certificate(error: ssl.SSLCertVerificationError, clock: Clock) -> str:
    code = error.verify_code
    if code in {_NOT_YET_VALID, _EXPIRED}:
        problem = "has expired" if code == _EXPIRED else "is not valid yet"
        today = datetime.fromtimestamp(clock.wall(), UTC).date()
        if not clock.synced():
            return f"its certificate {problem}, but this device's clock (it shows {today}) is wrong: set it"
        return f"its certificate {problem} (today is {today}): the server's keeper must renew it"
    if code in {_WRONG_HOST, _WRONG_ADDRESS}:
        return "its certificate is for another name: write `host` as the certificate has it"
    kind = "signed by itself" if code == _SELF_SIGNED else f"of an unknown authority ({error.verify_message})"
    return f"its certificate is {kind}: name the authority's file in ca_file if this is your own server"
