"""The dialogue on the receiver: its address and this device's key, proven by its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edged.app.setup.answers import ReceiverAnswer
from edged.app.setup.terminal import ask, ask_secret, ask_yes, say
from edged.base.errors import CredentialsError, EdgedError
from edged.push.settings import ReceiverSettings
from edged.wire.keys import is_device_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from edged.settings import DeviceConfig


def ask_receiver(
    former: DeviceConfig | None, device: str, meet: Callable[[ReceiverAnswer], str]
) -> ReceiverAnswer | None:
    """Return the receiver once it accepted the key, or as a person insists; None: as it was.

    `device` is this device's name; `meet` asks the receiver and returns a sentence on it.
    """
    known = former.receiver if former else None
    if known is not None and not ask_yes(f"Clips go to {known.url}. Change it?", default=False):
        return None
    answer = _asked(known.url if known else "", (known.device if known else "") or device)
    while answer is not None and not _met(answer, meet):
        if ask_yes("  Correct it?"):
            answer = _asked(answer.url, answer.device)
        else:
            return answer if ask_yes("  Keep it all the same?", default=False) else None
    return answer


def _asked(url: str, device: str) -> ReceiverAnswer | None:
    url = ask("Address of the receiver, like https://receiver.example.org (- for none)", _address, url or "-")
    if not url:
        return None
    device = ask("This device's name there", _device, device)
    key = ask_secret(f"The key that `edged receive device add {device}` printed")
    return ReceiverAnswer(url=url, device=device, key=key)


def _met(answer: ReceiverAnswer, meet: Callable[[ReceiverAnswer], str]) -> bool:
    try:
        say(f"  {meet(answer)}")
    except CredentialsError as error:
        say(f"  the receiver does not accept the name or the key: {error}")
    except (EdgedError, OSError) as error:
        say(f"  {error}")
    else:
        return True
    return False


def _address(text: str) -> str:
    return "" if text == "-" else ReceiverSettings(url=text).url


def _device(text: str) -> str:
    if not is_device_name(text):
        raise ValueError(f"{text!r} is no device's name; use letters, digits, . _ and -")
    return text
