"""The dialogue on mail: who is told, through which relay, proven by a test mail that really went."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edged.app.setup.answers import MailAnswer
from edged.app.setup.terminal import ask, ask_secret, ask_yes, say
from edged.base.errors import ConfigError, CredentialsError, EdgedError
from edged.base.secret import reveal
from edged.channels.address import check_address, parse_mailbox
from edged.channels.settings import Relay, Security

if TYPE_CHECKING:
    from collections.abc import Callable

    from edged.settings import DeviceConfig


class _Provider(NamedTuple):
    host: str
    security: Security = Security.STARTTLS
    needs_app_password: bool = False


_GOOGLE = _Provider("smtp.gmail.com", needs_app_password=True)
_APPLE = _Provider("smtp.mail.me.com", needs_app_password=True)
_PROVIDERS = {  # as they publish it; others are asked for
    "gmail.com": _GOOGLE,
    "googlemail.com": _GOOGLE,
    "icloud.com": _APPLE,
    "me.com": _APPLE,
    "mac.com": _APPLE,
    "yahoo.com": _Provider("smtp.mail.yahoo.com", Security.TLS, needs_app_password=True),
    "fastmail.com": _Provider("smtp.fastmail.com", Security.TLS, needs_app_password=True),
    "gmx.de": _Provider("mail.gmx.net"),
    "gmx.net": _Provider("mail.gmx.net"),
    "web.de": _Provider("smtp.web.de"),
    "posteo.de": _Provider("posteo.de", Security.TLS),
    "mailbox.org": _Provider("smtp.mailbox.org", Security.TLS),
}


def ask_mail(former: DeviceConfig | None, send: Callable[[MailAnswer], list[str]]) -> MailAnswer | None:
    """Return the relay and the recipients once it took a test mail, or as a person insists; None: as it was.

    `send` sends the test and returns a sentence for each mail that was taken.
    """
    known = _known(former)
    if known is not None:
        question = f"Mail goes through {known.host} to {', '.join(known.recipients) or 'nobody'}. Change it?"
        if not ask_yes(question, default=False):
            return None
    answer = _asked(known)
    while answer is not None and not _tried(answer, send):
        if ask_yes("  Correct it?"):
            answer = _asked(answer)
        else:
            return answer if ask_yes("  Keep it all the same?", default=False) else None
    return answer


def _known(former: DeviceConfig | None) -> MailAnswer | None:
    if former is None or not former.mail.relays:
        return None
    relay = former.mail.relays[0]
    try:
        password = reveal(relay.password, "password")
    except ConfigError:  # lives where only the service can read it
        password = ""
    return MailAnswer(
        sender=former.mail.sender,
        recipients=former.alerts.recipients,
        host=relay.host,
        security=relay.security,
        port=relay.port,
        user=relay.user,
        password=password,
    )


def _asked(former: MailAnswer | None) -> MailAnswer | None:
    """Ask all of it, with what was there or was answered before as defaults."""
    known = ", ".join(former.recipients) if former else ""
    say("Who is told of incidents? Mail addresses with commas between them, - for nobody.")
    recipients = ask("To", _people, known or "-")
    if not recipients:
        return None
    sender = ask("From", _sender, former.sender if former else recipients[0])
    guess = _guess(sender) if former is None else _Provider(former.host, former.security)
    host = ask("Outgoing mail server", lambda text: Relay(host=text).host, guess.host)
    question = "Its protection: starttls (port 587), tls (port 465), opportunistic (port 25)"
    security = ask(question, _security, str(guess.security))
    usual = Relay(host=host, security=security).tcp_port
    same = former is not None and former.security is security
    port = ask("Its port", _port, str((former.port if former and same else None) or usual))
    user, password = _login(former, sender) if security is not Security.OPPORTUNISTIC else ("", "")
    return MailAnswer(
        sender=sender,
        recipients=recipients,
        host=host,
        security=security,
        port=None if port == usual else port,
        user=user,
        password=password,
    )


def _login(former: MailAnswer | None, sender: str) -> tuple[str, str]:
    """Ask for user and password, both "" where the server wants none."""
    usual = former.user or "-" if former else parse_mailbox(sender).address
    user = ask("User there (- for none)", lambda text: "" if text == "-" else text, usual)
    if not user:
        return "", ""
    known = former.password if former and former.user == user else ""
    return user, ask_secret("Password", keep=bool(known)) or known


def _guess(sender: str) -> _Provider:
    """Return how the sender's provider takes mail, where that is known."""
    provider = _PROVIDERS.get(parse_mailbox(sender).domain.lower(), _Provider(""))
    if provider.needs_app_password:
        say(f"  {provider.host} takes no ordinary password here: make an app password in the account's settings")
    return provider


def _tried(answer: MailAnswer, send: Callable[[MailAnswer], list[str]]) -> bool:
    """Send the test and say how it went; return whether all were taken."""
    say(f"  sending a test mail to {', '.join(answer.recipients)} ...")
    try:
        for sentence in send(answer):
            say(f"  sent {sentence}")
    except CredentialsError as error:
        say(f"  not sent: the server does not accept user or password: {error}")
    except (EdgedError, OSError) as error:
        say(f"  not sent: {error}")
    else:
        return True
    return False


def _people(text: str) -> tuple[str, ...]:
    people = () if text == "-" else (check_address(each.strip()) for each in text.split(",") if each.strip())
    return tuple(dict.fromkeys(people))


def _sender(text: str) -> str:
    parse_mailbox(text)
    return text


def _security(text: str) -> Security:
    try:
        return Security(text)
    except ValueError:
        raise ValueError(f"{text!r} is none of {', '.join(Security)}") from None


def _port(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no number")
    return Relay(host="any", port=int(text)).tcp_port
