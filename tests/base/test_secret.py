from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from edged.base.errors import ConfigError
from edged.base.secret import Secret, reveal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def variable() -> Iterator[str]:
    """An environment variable that holds a secret during the test."""
    os.environ["EDGED_TEST_SECRET"] = "s3cret"
    yield "EDGED_TEST_SECRET"
    del os.environ["EDGED_TEST_SECRET"]


def test_from_the_environment(variable: str) -> None:
    """A secret named by `env` is the variable's value and stays out of its repr."""
    secret = Secret.parse({"env": variable})
    assert secret.reveal() == "s3cret"
    assert "s3cret" not in repr(secret)


def test_from_a_private_file(tmp_path: Path) -> None:
    """A secret named by `file` is the file's content without the line's end."""
    path = tmp_path / "key"
    path.write_text("s3cret\n")
    path.chmod(0o600)
    assert Secret.parse({"file": str(path)}).reveal() == "s3cret"


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """A secret's file with a wider mode than 0600 is refused with the command that mends it."""
    path = tmp_path / "key"
    path.write_text("s3cret\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=r"mail\.password: .*chmod 600"):
        reveal(Secret.parse({"file": str(path)}), "mail.password")


@pytest.mark.parametrize(
    "value", ["hunter2", {"env": ""}, {"env": "A", "file": "B"}, {"vault": "x"}, {"env": 3}, 7, ["a"], {}]
)
def test_anything_else_is_refused_without_being_shown(value: object) -> None:
    """Only the three ways to name a secret are taken, and a secret in the file is not repeated."""
    with pytest.raises(ValueError, match="env") as caught:
        Secret.parse(value)
    assert "hunter2" not in str(caught.value)


def test_what_can_not_be_had_says_why(tmp_path: Path) -> None:
    """A missing variable, file or credential is told by its name."""
    for value, part in (
        ({"env": "EDGED_NOT_SET"}, "EDGED_NOT_SET"),
        ({"file": str(tmp_path / "none")}, "none"),
        ({"credential": "smtp"}, "LoadCredential=smtp"),
    ):
        with pytest.raises(ValueError, match=part):
            Secret.parse(value).reveal()


def test_no_secret_is_the_empty_text() -> None:
    """A setting without a secret reveals an empty text."""
    assert reveal(None, "mail.password") == ""
