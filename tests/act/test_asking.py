"""Requests as the privileged helper takes them: from a directory in which its owner may have put anything."""

from __future__ import annotations

import os
import socket
import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edged.act.asking import (
    Answer,
    RefusedRequestError,
    Request,
    read_answers,
    reset_of,
    take_requests,
    write_answer,
    write_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def ask(tmp_path: Path) -> Path:
    """The directory of requests."""
    (tmp_path / "ask").mkdir()
    return tmp_path / "ask"


def test_what_was_asked_arrives_once(ask: Path) -> None:
    """Name, id and reason come out as they went in, resets before a reboot, and the directory is empty then."""
    asked = [
        Request(name="reboot", id=ID, reason="no camera has delivered for 3 h"),
        Request(name=reset_of("yard"), id=ID, reason="did not answer in time"),
    ]
    for request in asked:
        write_request(ask, request)
    assert list(take_requests(ask)) == asked[::-1]
    assert list(take_requests(ask)) == []
    assert (asked[0].camera, asked[1].camera) == ("", "yard")


def test_a_request_is_made_whole_and_for_the_helper_s_group(tmp_path: Path) -> None:
    """The helper has no privilege over files: what it is to read and to remove is open to edged's group."""
    write_request(tmp_path / "new", Request(name="reboot"))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o770
    assert (tmp_path / "new" / "reboot").stat().st_mode & 0o777 == 0o640


def _link(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def _second_name(path: Path, secret: Path) -> None:
    path.hardlink_to(secret)


def _pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path, _: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _huge(path: Path, _: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _folder(path: Path, _: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("put", [_link, _second_name, _pipe, _socket, _huge, _folder])
def test_what_is_no_plain_small_file_is_neither_followed_nor_waited_for(
    ask: Path, tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    """It is refused in words that tell nothing of what it may lead to, and is gone afterwards."""
    secret = tmp_path / "secret"
    secret.write_text(f"{ID}\nthe password")
    put(ask / "reboot", secret)
    (refused,) = take_requests(ask)
    assert isinstance(refused, RefusedRequestError)
    assert "password" not in str(refused)
    assert secret.read_text() == f"{ID}\nthe password"
    assert list(ask.iterdir()) == []


def test_another_s_file_is_refused(ask: Path) -> None:
    """What the directory's owner did not write itself is not its request."""
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    write_request(ask, Request(name="reboot", id=ID))
    os.chown(ask / "reboot", 1, 1)
    (refused,) = take_requests(ask)
    assert isinstance(refused, RefusedRequestError)


def test_a_directory_that_is_a_link_is_refused(ask: Path, tmp_path: Path) -> None:
    """Whoever owns the directory may put a link in its place: nothing is read, and nothing removed, where it leads."""
    write_request(ask, Request(name="reboot", id=ID))
    (tmp_path / "link").symlink_to(ask)
    with pytest.raises(OSError, match="Not a directory"):
        list(take_requests(tmp_path / "link"))
    assert (ask / "reboot").exists()


def test_unknown_names_are_removed_and_hidden_ones_left(ask: Path) -> None:
    """An unfinished request has a hidden name."""
    for name in ("reset-", "reset-../x".replace("/", "%"), "poweroff", "reset-DOOR", ".reboot"):
        (ask / name).write_text("x")
    assert all(isinstance(each, RefusedRequestError) for each in take_requests(ask))
    assert [path.name for path in ask.iterdir()] == [".reboot"]


def test_a_thousand_names_are_taken_by_and_by(ask: Path) -> None:
    """One run looks at a bounded number of them."""
    for number in range(200):
        (ask / f"x{number}").touch()
    assert len(list(take_requests(ask))) == 64
    assert len(list(ask.iterdir())) == 136


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=1024))
def test_any_bytes_make_a_harmless_request(ask: Path, data: bytes) -> None:
    """The id is 32 hex digits or nothing, and the reason one short line without control characters."""
    (ask / "reset-door").write_bytes(data)
    (request,) = take_requests(ask)
    assert isinstance(request, Request)
    assert request.id == "" or (len(request.id) == 32 and set(request.id) <= set(string.hexdigits))
    assert len(request.reason) <= 200
    assert request.reason == "" or request.reason.isprintable()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=40))
def test_only_known_names_are_requests(ask: Path, name: str) -> None:
    """Whatever else a file is called, nothing follows from it."""
    if name in {".", ".."}:
        return
    (ask / name).write_text("x")
    for taken in take_requests(ask):
        known = name == "reboot" or (name.startswith("reset-") and len(name) > len("reset-"))
        assert known or isinstance(taken, RefusedRequestError)
    (ask / name).unlink(missing_ok=True)


def test_the_newest_answers_are_kept_for_all_to_read(tmp_path: Path) -> None:
    """A flood of names does not fill the memory, and an answer replaces the one before."""
    path = tmp_path / "answers.json"
    for number in range(100):
        answer = Answer(id=f"{number}", outcome="refused", text="not configured")
        write_answer(path, Request(name=f"reset-{number % 50}"), answer)
    answers = read_answers(path)
    assert len(answers) == 32
    assert answers["reset-49"].id == "99"
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [b"", b"[", b"[1]", b'{"reboot": 1}', b"\xff", b"[" * 100_000])
def test_damaged_answers_are_none(tmp_path: Path, content: bytes) -> None:
    """Whoever waits for one gives up by and by."""
    (tmp_path / "answers.json").write_bytes(content)
    assert read_answers(tmp_path / "answers.json") == {}
