"""What every test begins with."""

from __future__ import annotations

import pytest

from wsgi_bridge.events.bursts import bursts


@pytest.fixture(autouse=True)
def _no_burst() -> None:
    """What one test has logged must leave out nothing of the next one's."""
    bursts.clear()
