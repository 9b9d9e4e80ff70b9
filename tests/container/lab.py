"""A real Debian with a real systemd to try edged in: trees made once and kept, containers that change nothing.

`debian()` and `installed()` give trees of files, `boot()` starts one and gives a `Box` to act in:

    with boot(installed()) as box:
        box.run("systemctl", "start", "edged")

It takes root, mmdebstrap and systemd-nspawn; `require()` says what is missing.
"""

from __future__ import annotations

from tests.container.box import Box, boot
from tests.container.machine import CACHE, UnavailableError, require
from tests.container.trees import REPOSITORY, debian, installed, wheels

__all__ = ["CACHE", "REPOSITORY", "Box", "UnavailableError", "boot", "debian", "installed", "require", "wheels"]
