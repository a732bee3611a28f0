"""A server without consumers: it holds the sockets, and whoever shares its layer answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.servers import NO_CONTROL_SOCKET, PATIENCE, ROOT, Server, run_server
from tests.integration.sockets import open_socket
from tests.integration.wire import ask, request
from wsgi_bridge import open_layer
from wsgi_bridge.layers.base import BaseLayer

pytestmark = pytest.mark.integration

CHANNELS = ["http.request", "websocket.connect", "websocket.receive", "websocket.disconnect"]
ELSEWHERE = """
from wsgi_bridge import Bridge
application = Bridge(lambda environ, start_response: [], consumers=None)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/layer"


@pytest.fixture
def layer(url: str) -> Iterator[BaseLayer]:
    opened = open_layer(url)
    yield opened
    opened.close()


@pytest.fixture(params=["environment", "site"])
def server(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Iterator[Server]:
    """Two servers without consumers, told so by the environment or by the site itself."""
    env = {"CHANNEL_LAYER": url}
    if request.param == "environment":
        env["ASGI_CONSUMERS"] = "none"
        app = "there_is_no_such_module:application"
    else:
        (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
        app = "elsewhere:application"
    with run_server(app, env=env, chdir=tmp_path, args=["-w", "2"]) as running:
        yield running


def take(layer: BaseLayer, channel: str) -> dict[str, object]:
    """Return the next message, which is to be one of this channel."""
    name, message = layer.receive(CHANNELS, block=True, timeout=PATIENCE)
    assert name == channel
    return message


def test_requests_are_answered_by_who_shares_the_layer(server: Server, layer: BaseLayer) -> None:
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(ask, server, request("/page"))
        message = take(layer, "http.request")
        assert message["path"] == "/page"
        layer.send(message["reply_channel"], {"status": 200, "headers": [], "content": b"a page"})
        assert asked.result(PATIENCE).content == b"a page"


def test_sockets_are_served_by_who_shares_the_layer(server: Server, layer: BaseLayer) -> None:
    with ThreadPoolExecutor(1) as client:
        opening = client.submit(open_socket, server, "/socket")
        reply = take(layer, "websocket.connect")["reply_channel"]
        layer.send(reply, {"accept": True})
        with opening.result(PATIENCE) as socket:
            socket.send("hello")
            message = take(layer, "websocket.receive")
            layer.send(reply, {"text": message["text"].upper(), "ack": message["order"]})
            assert socket.recv(PATIENCE) == "HELLO"
        assert take(layer, "websocket.disconnect")["code"] == 1000


@pytest.mark.parametrize("told_by", ["environment", "site"])
def test_a_layer_that_nobody_reaches_is_refused_in_one_sentence(
    told_by: str, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    command = [sys.executable, "-m", "gunicorn", "-k", "gunicorn_asgi.Worker", "-b", "127.0.0.1:0"]
    command += [*NO_CONTROL_SOCKET, "--chdir", str(tmp_path), "elsewhere:application"]
    variables = {"ASGI_CONSUMERS": "none"} if told_by == "environment" else {}
    ended = subprocess.run(
        command,
        env={"PYTHONPATH": str(ROOT), **variables},
        stderr=subprocess.PIPE,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )
    assert ended.returncode != 0
    assert "set CHANNEL_LAYER to one such as ipc://mysite" in ended.stderr
    assert "Traceback" not in ended.stderr
