"""The demo under uWSGI, by what its pages do: forms, sockets, a stream and a long poll."""

from __future__ import annotations

import contextlib
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.demo_server import DemoServer
from tests.integration.servers import PATIENCE
from tests.integration.sockets import open_socket
from tests.integration.uwsgi_servers import find_uwsgi

pytestmark = pytest.mark.integration
READINGS = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("demo") / "uwsgi.log"
    running = DemoServer(log, "SERVER=uwsgi", f"UWSGI={find_uwsgi()}")
    try:
        running.start()
        yield running
    finally:
        running.stop()


class Browser:
    """Somebody with cookies, who fills in forms."""

    def __init__(self, server, name):
        self.server = server
        self._cookies = CookieJar()
        opener = urllib.request.HTTPCookieProcessor(self._cookies)
        self._opener = urllib.request.build_opener(opener)
        self.post("/", "/sign-in", name=name)

    def get(self, path):
        with self._opener.open(self.server.url + path, timeout=PATIENCE) as response:
            return response.read().decode()

    def post(self, page, path, **fields):
        token = re.search(r'name="csrf" value="([^"]+)"', self.get(page))[1]
        data = urllib.parse.urlencode({**fields, "csrf": token}).encode()
        with self._opener.open(self.server.url + path, data, timeout=PATIENCE) as response:
            return response.read().decode()

    def connect(self, path):
        cookies = "; ".join(f"{each.name}={each.value}" for each in self._cookies)
        return open_socket(self.server, path, additional_headers={"Cookie": cookies})


@pytest.fixture
def ada(server):
    return Browser(server, "Ada")


@pytest.fixture
def ben(server):
    return Browser(server, "Ben")


def read_until(client, kind):
    """Return the next message of a kind."""
    while True:
        content = json.loads(client.recv(timeout=PATIENCE))
        if content["kind"] == kind:
            return content


def test_two_people_chat(ada, ben):
    with ada.connect("/ws/room/galley") as one:
        assert read_until(one, "joined")["who"] == "Ada"
        with ben.connect("/ws/room/galley") as two:
            assert read_until(two, "welcome")["people"] == ["Ada", "Ben"]
            assert read_until(one, "joined")["who"] == "Ben"
            for client, who in ((one, "Ada"), (two, "Ben")):
                client.send(json.dumps({"number": 1, "say": f"here is {who}"}))
                for reader in (one, two):
                    assert read_until(reader, "said")["line"]["text"] == f"here is {who}"
        assert read_until(one, "left") == {"kind": "left", "who": "Ben", "people": ["Ada"]}
    with ben.connect("/ws/room/galley") as two:
        lines = read_until(two, "welcome")["lines"]
        assert [line["text"] for line in lines] == ["here is Ada", "here is Ben"]


def test_a_stranger_is_refused(server):
    with pytest.raises(InvalidStatus) as caught:
        open_socket(server, "/ws/room/galley")
    assert caught.value.response.status_code == 403


def test_a_view_in_a_worker_pushes_a_notice_to_every_page(ada, ben):
    with ada.connect("/ws/notices") as one, ben.connect("/ws/notices") as two:
        ada.post("/notices", "/notices", text="high water at nine")
        for client in (one, two):
            assert json.loads(client.recv(timeout=PATIENCE))["text"] == "high water at nine"
    assert "high water at nine" in ben.get("/notices")


def test_figures_count_the_sockets(ada):
    with ada.connect("/ws/figures") as client:
        client.send(json.dumps({"ping": 1}))
        assert json.loads(client.recv(timeout=PATIENCE))["sockets"] >= 1


def test_streams_of_the_tide_hold_no_worker(server, ada):
    """There are two workers, and more streams."""
    url = server.url + "/ticker/events"
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(urllib.request.urlopen(url, timeout=PATIENCE)) for _ in range(4)
        ]
        assert "Ada" in ada.get("/")
        assert json.loads(ada.get("/ticker/poll?after=0"))["level"]
        for stream in streams:
            lines = [line for line in map(bytes.strip, readings(stream)) if line]
            numbers = [json.loads(line.removeprefix(b"data: "))["number"] for line in lines]
            assert numbers == sorted(set(numbers)), "a busy machine may miss one"
            assert len(numbers) == READINGS


def readings(stream):
    """Yield the lines of the first readings."""
    for _ in range(2 * READINGS):
        yield stream.readline()


def test_every_page_is_served_and_none_offers_to_deploy(ada):
    for page in ("/", "/room/galley", "/notices", "/ticker", "/live"):
        assert "Ada" in ada.get(page)
    with pytest.raises(urllib.error.HTTPError):
        ada.post("/", "/deploy")


def test_an_interrupt_closes_sockets_and_leaves_no_process(server, ada):
    """`DemoServer.stop` fails when a process of the group is left."""
    with ada.connect("/ws/notices") as client:
        begun = time.monotonic()
        server.stop()
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=PATIENCE)
        assert client.close_code == 1012
        assert time.monotonic() - begun < 6
