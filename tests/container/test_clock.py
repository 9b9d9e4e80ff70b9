"""Whether the clock is set, as the service can learn it in its sandbox, where the kernel does not tell."""

from __future__ import annotations

import pytest

from tests.container.site import health, site, start

_MARK = "/run/systemd/timesync/synchronized"


@pytest.mark.timeout(600)  # the first one has the tree made
def test_the_clock_is_trusted_once_systemd_has_set_it() -> None:
    """Until then /health says that times may be wrong; systemd-timesyncd marks the moment, and no restart is needed."""
    with site() as box:
        start(box)
        assert health(box)["subsystems"]["clock"]["status"] == "degraded"
        box.put(_MARK, "")
        assert health(box)["subsystems"]["clock"]["status"] == "ok"
