"""Runs one kind of soak, or all of them in turn, and prints the line of figures."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import pkgutil
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from scripts.soaks import kinds
from scripts.soaks.figures import Figures
from scripts.soaks.run import Run

_MINUTES = 5.0  # of a kind, when neither a time nor a count is given


def main(argv: list[str]) -> int:
    """Run what `argv` asks for; 1 when something was found, 2 when the soak itself can't run."""
    names = sorted(module.name for module in pkgutil.iter_modules(kinds.__path__) if not module.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="./scripts/soak", description=__doc__)
    parser.add_argument("name", choices=[*names, "all"])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, metavar="N", help=f"of each kind; default: {_MINUTES:g}")
    length.add_argument("--cycles", type=int, metavar="N")
    parser.add_argument("--seed", type=int, metavar="S", help="repeats the random choices of an earlier run")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work there, and leave everything there")
    options = parser.parse_args(argv)
    seed = int(time.time()) % 100_000 if options.seed is None else options.seed
    total = Figures()
    for name in names if options.name == "all" else [options.name]:
        figures = _one(name, seed, options)
        print(figures.as_json(kind=name, seed=seed), flush=True)
        _add(total, figures)
    if options.name == "all":
        print(total.as_json(kind="all", seed=seed), flush=True)
    return 0 if total.clean else 1


def _one(name: str, seed: int, options: argparse.Namespace) -> Figures:
    # a real disk: /tmp may be in memory, where a sync costs nothing
    folder = Path(tempfile.mkdtemp(prefix=f".soak-{name}-", dir=options.keep or Path.cwd()))
    minutes = None if options.cycles is not None else options.minutes or _MINUTES
    run = Run(
        kind=name,
        seed=seed,
        rng=Random(seed),
        folder=folder,
        seconds=None if minutes is None else minutes * 60.0,
        count=options.cycles,
    )
    run.note(f"seed {seed}, in {folder}")
    kept = True
    try:
        asyncio.run(importlib.import_module(f"{kinds.__name__}.{name}").soak(run))
        kept = options.keep is not None or not run.figures.clean
    finally:
        if kept:
            run.note(f"the evidence is kept in {folder}")
        else:
            shutil.rmtree(folder)
    return run.figures


def _add(total: Figures, part: Figures) -> None:
    total.cycles += part.cycles
    total.obligations += part.obligations
    total.useful_bytes += part.useful_bytes
    total.wire_bytes += part.wire_bytes
    total.longest_recovery_s = max(total.longest_recovery_s, part.longest_recovery_s)
    total.add(part.findings.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
