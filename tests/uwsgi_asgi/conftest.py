"""What the tests of the decorators share: nothing that they decorate stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from uwsgi_asgi.decorators import leases, locking, mules, postforks, signals, spooler
from wsgi_bridge import add_ons

REGISTRIES = [
    add_ons._installed,
    signals._handlers,
    signals._plans,
    signals._recurring,
    mules._functions._tasks,
    mules._brains._tasks,
    mules._receivers,
    mules._recurring,
    postforks._chain,
    locking._holders,
    spooler._functions._tasks,
    spooler._frequency,
]


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    for registry in REGISTRIES:
        assert not registry
    yield
    for registry in REGISTRIES:
        registry.clear()
    leases._keeper._held.clear()  # of a layer that is closed
