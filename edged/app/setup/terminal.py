"""Questions on a terminal: each with a default that Enter takes, asked again until the answer can be used."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, TypeVar

from edged.base.errors import EdgedError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_YES, _NO = {"y", "yes"}, {"n", "no"}


def is_terminal() -> bool:
    """Return whether a person can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def say(text: str = "") -> None:
    """Tell something."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def title(text: str) -> None:
    """Begin a part of the dialogue."""
    say(f"\n-- {text} {'-' * max(0, 70 - len(text))}")


def ask(question: str, take: Callable[[str], T], default: str = "") -> T:
    """Return what `take` makes of the answer; what it raises as ValueError or EdgedError is told, and asked again."""
    while True:
        answer = _line(f"{question} [{default}]: " if default else f"{question}: ") or default
        try:
            return take(answer)
        except (ValueError, EdgedError) as error:
            say(f"  {_sentence(error)}")


def ask_yes(question: str, *, default: bool = True) -> bool:
    """Return whether the answer is yes."""
    while True:
        answer = _line(f"{question} [{'Y/n' if default else 'y/N'}]: ").lower()
        if answer in _YES | _NO or not answer:
            return answer in _YES if answer else default
        say("  please answer y or n")


def ask_secret(question: str, *, keep: bool = False) -> str:
    """Return a secret, which is not shown; "" stands for the one that is there if `keep`."""
    while True:
        try:
            answer = getpass.getpass(f"{question} (not shown{', Enter keeps it' if keep else ''}): ").strip()
        except EOFError:
            raise _ended() from None
        if answer or keep:
            return answer
        say("  it can't be empty")


def _line(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        say()
        raise _ended() from None


def _ended() -> EdgedError:
    return EdgedError("the input ended before all was answered; nothing was changed")


def _sentence(error: Exception) -> str:
    """Return the error without the setting's name at its beginning: the question has said what it is about."""
    key, colon, text = str(error).partition(": ")
    return text if colon and key.replace("_", "").isalpha() and key.islower() else str(error)
