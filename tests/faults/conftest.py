from __future__ import annotations

from tests.app.conftest import shop, template  # noqa: F401 -- fixtures
