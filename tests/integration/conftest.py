"""Fixtures of the tests that start real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.integration.servers import HELLO, Server, run_server

ARGUMENTS = "GUNICORN_CMD_ARGS"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module that has ARRANGEMENTS under each of them: arguments of gunicorn."""
    arrangements = getattr(metafunc.module, "ARRANGEMENTS", None)
    if arrangements:
        metafunc.parametrize("arrangement", arrangements, indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def arrangement(request: pytest.FixtureRequest) -> Iterator[str]:
    """Arguments that every gunicorn of the module is started with."""
    arguments = getattr(request, "param", "")
    with pytest.MonkeyPatch.context() as patch:
        if arguments:
            patch.setenv(ARGUMENTS, f"{os.environ.get(ARGUMENTS, '')} {arguments}")
        yield arguments


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, arrangement: str) -> Iterator[Server]:
    """One server for the tests of a module; its SERVER has the arguments of ``run_server``."""
    with run_server(**{"app": HELLO, **getattr(request.module, "SERVER", {})}) as running:
        yield running
