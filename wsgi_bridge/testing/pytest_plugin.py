"""Fixtures for pytest, for whoever asks for them in a conftest.py.

    pytest_plugins = ["wsgi_bridge.testing.pytest_plugin"]

It is no entry point of its own: pytest would import it, and with it a site's code before coverage
has begun, in every project that happens to share an environment with this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from wsgi_bridge.testing.client import Client
from wsgi_bridge.testing.clock import FakeClock


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock that stands still; ``fake_clock.advance(seconds)`` moves it."""
    return FakeClock()


@pytest.fixture
def bridge_client(fake_clock: FakeClock) -> Iterator[Callable[..., Client]]:
    """``bridge_client(application, **options)`` returns a `Client` on ``fake_clock``.

    It is closed when the test ends.
    """
    with ExitStack() as clients:

        def make_client(application: Any, *arguments: Any, **options: Any) -> Client:
            options.setdefault("clock", fake_clock)
            return clients.enter_context(Client(application, *arguments, **options))

        yield make_client
