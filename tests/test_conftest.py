"""CI's rule that no test is skipped, seen from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SKIPS = {
    "decorator": "import pytest\n@pytest.mark.skip\ndef test_it() -> None: ...\n",
    "call": "import pytest\ndef test_it() -> None: pytest.skip('no camera')\n",
    "module": "import pytest\npytest.importorskip('no_such_module')\ndef test_it() -> None: ...\n",
}


def _run(path: Path, ci: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, "-m", "pytest", "-q", "-p", "tests.conftest", "--rootdir", path, path]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=path, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("way", SKIPS)
def test_ci_turns_each_kind_of_skip_into_a_failure(way: str, tmp_path: Path) -> None:
    """What is skipped at a desk, for the lack of some tool, fails in CI."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_skips.py").write_text(SKIPS[way])
    assert "1 skipped" in _run(tmp_path, ci="").stdout
    refused = _run(tmp_path, ci="true")
    assert refused.returncode != 0
    assert "skipped, which CI does not accept" in refused.stdout
