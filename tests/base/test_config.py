from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.base.config import Duration, Rate, Secret, Share, Size, load, parse, secrets_in
from edged.base.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Relay:
    """A nested table."""

    host: str
    port: int = 587
    password: Secret | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One field of each kind."""

    name: str
    mode: Literal["auto", "manual"] = "auto"
    wait: Duration = Duration(5.0)
    quota: Size | None = None
    rate: Rate | None = None
    floor: Share = Share(0.1)
    state: Path = Path("/var/lib/edged")
    relays: tuple[Relay, ...] = ()
    named: dict[str, Relay] = field(default_factory=dict)
    points: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """Refuse an impossible combination."""
        if self.mode == "manual" and self.rate is not None:
            raise ValueError("rate: makes no sense with mode = manual")


def _refused(data: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse(data, Section)
    return {mistake.key: mistake.text for mistake in caught.value.mistakes}


def test_every_kind_of_value_is_read() -> None:
    """A complete document becomes the section with its units converted."""
    section = parse(
        {
            "name": "shop",
            "mode": "manual",
            "wait": "2min",
            "quota": "20GB",
            "floor": "5%",
            "state": "/srv/edged",
            "relays": [{"host": "mail.example.org", "port": 465}],
            "named": {"usb": {"host": "h", "password": {"env": "P"}}},
            "points": [[0, 0.5], [1.0, 1]],
        },
        Section,
    )
    assert section.wait == 120.0
    assert section.quota == 20_000_000_000
    assert section.floor == pytest.approx(0.05)
    assert section.state == Path("/srv/edged")
    assert section.relays == (Relay(host="mail.example.org", port=465),)
    assert section.named["usb"].password == Secret("env", "P")
    assert section.points == ((0.0, 0.5), (1.0, 1.0))
    assert secrets_in(section) == {"named.usb.password": Secret("env", "P")}


def test_every_mistake_is_told_in_one_go_with_its_key() -> None:
    """A document full of mistakes is refused once, each mistake with its dotted key."""
    mistakes = _refused(
        {
            "mode": "sometimes",
            "wait": 30,
            "quota": "20 pounds",
            "rat": "2Mbit/s",
            "relays": [{"host": "a"}, {"port": "25", "password": "hunter2"}],
            "named": {"x": 3},
        }
    )
    assert set(mistakes) == {
        "name",
        "mode",
        "wait",
        "quota",
        "rat",
        "relays.2.host",
        "relays.2.port",
        "relays.2.password",
        "named.x",
    }
    assert "no unit" in mistakes["wait"]
    assert "rate" in mistakes["rat"]
    assert "hunter2" not in " ".join(mistakes.values())


def test_a_combination_is_refused_by_its_key() -> None:
    """What a section refuses across its keys names the key."""
    assert _refused({"name": "x", "mode": "manual", "rate": "1kB/s"}) == {"rate": "makes no sense with mode = manual"}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Duration, "500ms", 0.5),
        (Duration, "1.5h", 5400.0),
        (Duration, "7d", 604800.0),
        (Size, "64KiB", 65536),
        (Rate, "256kbit/s", 32000.0),
        (Rate, "1MB/s", 1e6),
        (Share, "10%", 0.1),
    ],
)
def test_units(kind: Any, text: str, value: float) -> None:
    """Each unit counts what its name says."""
    assert kind.parse(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Duration, "30"),
        (Duration, "-3s"),
        (Duration, "5m"),
        (Size, "3kb"),
        (Rate, "2MB"),
        (Share, "101%"),
        (Share, "5"),
    ],
)
def test_wrong_units_are_refused(kind: Any, text: str) -> None:
    """A missing, unknown or foreign unit, a negative value, or more than all is refused."""
    with pytest.raises(ValueError, match=r"unit|more than"):
        kind.parse(text)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["name", "wait", "relays", "named", "points", "quota", "x"]), json_like))
def test_no_document_crashes_the_loader(data: dict[str, Any]) -> None:
    """Whatever the document holds, the loader returns a section or one ConfigError."""
    outcome: Section | tuple[object, ...]
    try:
        outcome = parse(data, Section)
    except ConfigError as error:
        outcome = error.mistakes
    assert outcome


def test_a_file_that_is_no_toml_or_not_there(tmp_path: Path) -> None:
    """A broken or missing file is one clear mistake that names the file."""
    broken = tmp_path / "edged.toml"
    broken.write_text("[device\n")
    for path in (broken, tmp_path / "none.toml"):
        with pytest.raises(ConfigError, match=str(path)):
            load(path, Section)
