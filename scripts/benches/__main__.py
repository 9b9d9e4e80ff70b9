"""Runs the named bench, or all of them, and prints their figures."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.benches.figure import as_json, as_table, machine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripts.benches.figure import Figure

_HELPERS = {"__main__", "figure"}  # and whatever starts with an underscore


def main(argv: list[str]) -> int:
    """Run what `argv` asks for; 2 when there is no such bench."""
    plain = [argument for argument in argv if argument != "--json"]
    names = _benches()
    if plain and plain[0] not in names:
        print(f"bench: there is no bench {plain[0]!r}; known: {', '.join(names)}", file=sys.stderr)
        return 2
    print(machine(), file=sys.stderr)
    figures: list[Figure] = []
    for name in plain[:1] or names:
        found = importlib.import_module(f"scripts.benches.{name}").figures(plain[1:])
        figures += found
        if "--json" in argv:
            _print_json(found)
    if "--json" not in argv:
        print(as_table(figures))
    return 0


def _benches() -> list[str]:
    modules = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return sorted(name for name in modules if name not in _HELPERS and not name.startswith("_"))


def _print_json(figures: Iterable[Figure]) -> None:
    for figure in figures:
        print(as_json(figure), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
