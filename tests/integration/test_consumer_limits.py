"""In a real server: a consumer that takes too long is interrupted, one may be asked again."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.servers import PATIENCE, Server, run_server
from tests.integration.sockets import open_socket

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["1", "2"], ids=["memory", "ipc"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    arguments = ["--workers", request.param]
    with run_server("tests.apps.limits:application", args=arguments, may_log_errors=True) as server:
        yield server


def test_a_socket_whose_consumer_takes_too_long_is_closed_with_1011(server: Server) -> None:
    with open_socket(server, "/slow") as socket:
        socket.send("x")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011
    server.wait_for_log("ConsumerTimeout: not done in 0.05 s")


def test_a_handshake_whose_consumer_takes_too_long_is_a_500(server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        open_socket(server, "/never")
    assert refused.value.response.status_code == 500


def test_a_request_whose_consumer_takes_too_long_is_a_500(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as failed:
        urllib.request.urlopen(f"{server.url}/never", timeout=PATIENCE)
    assert failed.value.code == 500
    failed.value.close()


def test_a_message_that_was_put_off_comes_again(server: Server) -> None:
    with open_socket(server, "/later") as socket:
        socket.send("a")
        socket.send("b")
        heard = [socket.recv(timeout=PATIENCE) for _ in range(2)]
    assert heard == ["a after 2", "b after 2"]
