"""The configuration files in config/ are complete: every setting is there, and what they call defaults are defaults."""

from __future__ import annotations

import dataclasses
import re
import tomllib
import typing
from pathlib import Path
from typing import Any

import pytest

from edged.act.settings import ActConfig
from edged.base.config import Secret, parse
from edged.base.units import QUANTITIES
from edged.receiver.settings import ReceiverConfig
from edged.settings import DeviceConfig

CONFIG = Path(__file__).parent.parent / "config"
FILES = [
    (CONFIG / "edged.toml", DeviceConfig),
    (CONFIG / "receiver.toml", ReceiverConfig),
    (CONFIG / "act.toml", ActConfig),
]
_SETTING = re.compile(r"^#{1,2}(?=[\w\[])", re.MULTILINE)
# a line's own comment says that it shows an example instead of the default
_EXAMPLE = re.compile(r"Example")


def _keys(section: Any, prefix: str = "") -> set[str]:
    """Return the dotted keys of every setting below a section; named tables count as `NAME`."""
    found = set()
    hints = typing.get_type_hints(section)
    for field in dataclasses.fields(section):
        hint = hints[field.name]
        inner = next((arg for arg in typing.get_args(hint) if dataclasses.is_dataclass(arg)), hint)
        key = f"{prefix}{field.name}"
        named = typing.get_origin(hint) is dict
        if dataclasses.is_dataclass(inner) and inner is not Secret:
            found |= _keys(inner, f"{key}.NAME." if named else f"{key}.")
        else:
            found.add(f"{key}.NAME" if named else key)
    return found


def _written(text: str, section: Any) -> set[str]:
    """Return the dotted keys that a file shows, also those that stand behind a `#`."""
    document = tomllib.loads(_SETTING.sub("", text))
    return set(_flat(document, section, ""))


def _flat(table: dict[str, Any], section: Any, prefix: str) -> typing.Iterator[str]:
    hints = typing.get_type_hints(section)
    for name, value in table.items():
        hint = hints.get(name)
        key = f"{prefix}{name}"
        inner = next((arg for arg in typing.get_args(hint) if dataclasses.is_dataclass(arg)), hint)
        if typing.get_origin(hint) is dict:
            for each in value.values():
                leaf = inner is Secret or not dataclasses.is_dataclass(inner)
                yield from (f"{key}.NAME",) if leaf else _flat(each, inner, f"{key}.NAME.")
        elif dataclasses.is_dataclass(inner) and inner is not Secret:
            for each in value if isinstance(value, list) else [value]:
                yield from _flat(each, inner, f"{key}.")
        else:
            yield key


@pytest.mark.parametrize(("path", "section"), FILES, ids=["edged", "receiver", "act"])
def test_every_setting_is_shown(path: Path, section: Any) -> None:
    """The file shows every setting there is, and none that there is not."""
    assert _written(path.read_text(), section) == _keys(section)


@pytest.mark.parametrize(("path", "section"), FILES, ids=["edged", "receiver", "act"])
def test_the_file_is_valid_as_it_stands(path: Path, section: Any) -> None:
    """The file can be loaded as it is delivered."""
    assert isinstance(parse(tomllib.loads(path.read_text()), section), section)


def _defaults(text: str) -> typing.Iterator[tuple[str, str, str]]:
    """Yield (table, key, value) of each commented setting whose comment does not call it an example."""
    table, comment = "", ""
    for line in text.splitlines():
        if header := re.match(r"#{0,2}\[+([\w.-]+)\]+", line):
            table, comment = header[1], ""
        elif line.startswith("# "):
            comment += line
        elif setting := re.match(r"#(\w+) = (.+)", line):
            if not _EXAMPLE.search(comment):
                yield table, setting[1], setting[2]
        else:
            comment = ""


def _default_of(section: Any, table: str, key: str) -> tuple[Any, Any]:
    hints = typing.get_type_hints(section)
    for name in filter(None, table.split(".")):
        if name not in hints:
            continue  # a name that the file's owner chose
        hint = hints[name]
        section = next((arg for arg in typing.get_args(hint) if dataclasses.is_dataclass(arg)), hint)
        hints = typing.get_type_hints(section)
    (field,) = (field for field in dataclasses.fields(section) if field.name == key)
    return field.default, hints[key]


@pytest.mark.parametrize(("path", "section"), FILES, ids=["edged", "receiver", "act"])
def test_what_is_called_a_default_is_the_default(path: Path, section: Any) -> None:
    """A setting behind a `#` shows the value that edged uses without it."""
    wrong = []
    for table, key, text in _defaults(path.read_text()):
        default, hint = _default_of(section, table, key)
        value = tomllib.loads(f"value = {text}")["value"]
        kind = next((k for k in QUANTITIES if k is hint or k in typing.get_args(hint)), None)
        shown = kind.parse(value) if kind is not None else tuple(value) if isinstance(value, list) else value
        if str(default) != str(shown) and default != shown:
            wrong.append(f"[{table}] {key}: shown {shown!r}, is {default!r}")
    assert not wrong
