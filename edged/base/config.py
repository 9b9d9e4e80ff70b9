"""Loading and validating configuration files: every mistake in one go, each with its dotted key.

A section is a frozen dataclass; its fields' types are the schema. Values with units come from `base.units`,
secrets from `base.secret`; single values are converted by msgspec, strictly. A section may check itself
across keys in `__post_init__` by raising `ValueError("key: sentence")`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import types
import typing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edged.base.errors import ConfigError, Mistake
from edged.base.secret import Secret
from edged.base.units import QUANTITIES, Duration, Rate, Share, Size

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Duration", "Rate", "Secret", "Share", "Size", "load", "parse", "secrets_in"]

T = TypeVar("T", bound="DataclassInstance")


def load(path: Path, section: type[T]) -> T:
    """Read the TOML file `path` into `section`; ConfigError lists every mistake."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError((Mistake(key="", text=f"{path} can't be read: {error.strerror}"),)) from error
    except ValueError as error:  # TOML's own and UTF-8's errors, and a number of thousands of digits
        raise ConfigError((Mistake(key="", text=f"{path} is not valid TOML: {error}"),)) from error
    except RecursionError as error:
        raise ConfigError((Mistake(key="", text=f"{path} is nested too deeply to be a configuration"),)) from error
    return parse(data, section)


def parse(data: dict[str, Any], section: type[T]) -> T:
    """Convert a TOML document into `section`; ConfigError lists every mistake."""
    mistakes: list[Mistake] = []
    value = _section(data, section, "", mistakes)
    if mistakes or value is None:
        raise ConfigError(tuple(mistakes))
    return value


def secrets_in(section: object, key: str = "") -> dict[str, Secret]:
    """Return every secret below `section` by its dotted key."""
    if isinstance(section, Secret):
        return {key: section}
    found: dict[str, Secret] = {}
    for name, value in _children(section):
        found |= secrets_in(value, _join(key, name))
    return found


def _children(section: object) -> list[tuple[str, object]]:
    if dataclasses.is_dataclass(section):
        return [(field.name, getattr(section, field.name)) for field in dataclasses.fields(section)]
    if isinstance(section, dict):
        return [(str(name), value) for name, value in section.items()]
    if isinstance(section, tuple):
        return [(str(number), value) for number, value in enumerate(section, start=1)]
    return []


def _section(data: object, section: type[T], key: str, mistakes: list[Mistake]) -> T | None:
    if not isinstance(data, dict):
        mistakes.append(Mistake(key=key, text=f"must be a table, not {_kind(data)}"))
        return None
    before = len(mistakes)
    hints = typing.get_type_hints(section, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(section)}
    unread = _refuse_unknown(data, list(fields), key, mistakes)
    values: dict[str, Any] = {}
    sound = True  # but for what lies below
    for name, field in fields.items():
        known = len(mistakes)
        if name in data:
            values[name] = _value(data[name], hints[name], _join(key, name), mistakes)
        elif _is_required(field):
            mistakes.append(Mistake(key=_join(key, name), text="is missing and has no default"))
        if len(mistakes) > known:
            values.pop(name, None)
            unread.add(name)
            sound = sound and _holds_sections(hints[name])
    made = _build(section, values, unread, key, mistakes) if sound else None
    return None if len(mistakes) > before else made


def _build(section: type[T], values: dict[str, Any], unread: set[str], key: str, mistakes: list[Mistake]) -> T | None:
    """Build a section; a value that it refuses gives way to its default, to learn what else it refuses.

    What it says of `unread` keys follows from mistakes that are told already.
    """
    fields = {field.name: field for field in dataclasses.fields(section)}
    while all(name in values or not _is_required(field) for name, field in fields.items()):
        try:
            return section(**values)
        except ValueError as error:
            name, colon, text = str(error).partition(": ")
            field = name.split(".")[0]
            known = bool(colon) and field in fields
            if not any(re.search(rf"\b{re.escape(each)}\b", str(error)) for each in unread):
                mistakes.append(Mistake(key=_join(key, name) if known else key, text=text if known else str(error)))
            if field not in values:
                return None
            del values[field]
            unread.add(field)
    return None


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _holds_sections(hint: Any) -> bool:
    inner = _without_none(hint)
    return any(dataclasses.is_dataclass(each) and each is not Secret for each in (inner, *typing.get_args(inner)))


def _refuse_unknown(data: dict[str, Any], known: list[str], key: str, mistakes: list[Mistake]) -> set[str]:
    """Enter unknown keys as mistakes and return the settings that they may have meant."""
    meant: set[str] = set()
    for name in data:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
            mistakes.append(Mistake(key=_join(key, name), text=f"is not a setting of edged; {hint}"))
            meant.update(near)
    return meant


def _value(data: object, hint: Any, key: str, mistakes: list[Mistake]) -> Any:
    inner = _without_none(hint)
    origin, args = typing.get_origin(inner), typing.get_args(inner)
    if dataclasses.is_dataclass(inner) and inner is not Secret:
        return _section(data, typing.cast("type[Any]", inner), key, mistakes)
    if origin is dict and isinstance(data, dict):
        return {name: _value(value, args[1], _join(key, name), mistakes) for name, value in data.items()}
    if origin is tuple and isinstance(data, list) and len(args) == 2 and args[1] is Ellipsis:  # noqa: PLR2004 -- tuple[T, ...]
        return tuple(_value(value, args[0], _join(key, str(i)), mistakes) for i, value in enumerate(data, start=1))
    try:
        return _leaf(data, inner)
    except (ValueError, msgspec.ValidationError) as error:
        mistakes.append(Mistake(key=key, text=str(error)))
        return None


def _leaf(data: object, hint: Any) -> Any:
    if hint is Secret:
        return Secret.parse(data)
    if hint in QUANTITIES:
        if not isinstance(data, str):
            raise ValueError(f'{data!r} has no unit; write it like "{hint.example}"')
        return hint.parse(data)
    if hint is Path:
        return _path(msgspec.convert(data, str))
    choices = _choices(hint)
    if choices and data not in choices:
        raise ValueError(f"{data!r} is none of {', '.join(map(repr, choices))}")
    return msgspec.convert(data, hint, strict=True)


def _path(text: str) -> Path:
    if "\0" in text:
        raise ValueError(f"{text!r} is no path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{text!r} begins with a user whom this machine does not know") from error


def _choices(hint: Any) -> list[Any]:
    """Return what may be written where only a few words are taken."""
    if typing.get_origin(hint) is typing.Literal:
        return list(typing.get_args(hint))
    return [str(each) for each in hint] if isinstance(hint, type) and issubclass(hint, StrEnum) else []


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        if len(rest) == 1:
            return rest[0]
    return hint


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _kind(data: object) -> str:
    return {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}.get(
        type(data), "that"
    )
