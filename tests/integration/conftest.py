"""Fixtures of the tests that start real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.servers import HELLO, Server, run_server


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One server for the tests of a module; its SERVER has the arguments of ``run_server``."""
    with run_server(**{"app": HELLO, **getattr(request.module, "SERVER", {})}) as running:
        yield running
