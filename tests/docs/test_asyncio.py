"""The asyncio program of the documentation: what a feed says is on every page, at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection

from tests.docs.test_examples import EXAMPLES, ROOT, Site, receive, running
from tests.integration.servers import wait_for
from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis

# Seconds that Python may take to start on a busy machine, with all that a site imports.
START_PATIENCE = 60.0


@pytest.fixture(params=["ipc", "redis"])
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "ipc":
        yield f"ipc://{tmp_path}/layer"
        return
    need_redis()
    with RedisServer() as redis:
        yield redis.url


@pytest.fixture
def site(layer: str) -> Iterator[Site]:
    with running("asyncio_site", CHANNEL_LAYER=layer, WEB_CONCURRENCY="2") as site:
        wait_for(lambda: is_up(site), "a worker", patience=START_PATIENCE)
        yield site


def is_up(site: Site) -> bool:
    try:
        return site.request("/")[0] == 200
    except OSError:  # a time-out too
        return False


class Feed:
    """What the program reads, and the program."""

    def __init__(self, connection: socket.socket, program: subprocess.Popen[str]) -> None:
        self.connection = connection
        self.program = program

    def say(self, line: str) -> None:
        self.connection.sendall(f"{line}\n".encode())

    def stop(self) -> str:
        """Stop the program as a service manager does; return what it logged."""
        self.program.send_signal(signal.SIGTERM)
        log = self.program.communicate(timeout=START_PATIENCE)[1]
        assert self.program.returncode == 0, log
        return log


@contextmanager
def run_feed(layer: str) -> Iterator[Feed]:
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        listener.settimeout(START_PATIENCE)
        program = subprocess.Popen(
            [sys.executable, "asyncio_feed.py", "127.0.0.1", str(listener.getsockname()[1])],
            cwd=EXAMPLES,
            env={
                **os.environ,
                "CHANNEL_LAYER": layer,
                "PYTHONPATH": str(ROOT),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        stack.enter_context(program)
        stack.callback(program.kill)
        connection, _ = listener.accept()
        yield Feed(stack.enter_context(connection), program)


def hear(page: ClientConnection, text: str) -> None:
    """Receive up to `text`: a page hears a price twice that is said while it asks for it."""
    while receive(page) != text:
        pass


@pytest.mark.integration
def test_every_page_hears_the_feed_and_a_new_one_what_was_said_last(layer: str, site: Site) -> None:
    with run_feed(layer) as feed, ExitStack() as pages:
        assert "new WebSocket" in site.request("/")[1]
        one = pages.enter_context(site.socket("/prices"))
        feed.say("ACME 12.50")
        assert receive(one) == "ACME 12.50"
        others = [pages.enter_context(site.socket("/prices")) for _ in range(3)]
        assert [receive(each) for each in others] == ["ACME 12.50"] * 3
        for number in range(50):
            feed.say(f"ACME {number}.00")
        for each in (one, *others):
            hear(each, "ACME 0.00")
            assert [receive(each) for _ in range(49)] == [f"ACME {n}.00" for n in range(1, 50)]
        assert "told to stop" in feed.stop()


@pytest.mark.integration
def test_a_page_stays_open_while_programs_come_and_go(layer: str, site: Site) -> None:
    with site.socket("/prices") as page:
        for price in (1, 2):
            with run_feed(layer) as feed:
                feed.say(f"ACME {price}")
                hear(page, f"ACME {price}")
                feed.stop()
