"""Every example of the documentation does in a real server what the documentation says."""

from __future__ import annotations

import json
import os
import re
import shutil
import socketserver
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.integration.servers import run_server

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
TIMEOUT = 10.0

# The modules that the tests below serve; test_*.py are collected by pytest themselves.
SERVED = {
    "asyncio_site": "application",
    "authorise_flask": "application",
    "authorise_ticket": "application",
    "background": "application",
    "chat": "application",
    "classes": "application",
    "closing": "application",
    "django_site": "application",
    "flask_sock_site": "application",
    "from_channels": "application",
    "from_socketio": "application",
    "groups": "application",
    "history": "application",
    "orders_push": "application",
    "orders_site": "site",
    "presence": "application",
    "pyramid_site": "application",
    "sessions": "application",
    "streaming": "application",
    "uwsgi_tasks": "application",
}
# Run beside a site, by test_asyncio.py.
BESIDE = {"asyncio_feed"}
# Stopped with a request at work, which the log says.
CUT_SHORT = {"history", "streaming"}


@dataclass
class Site:
    """An example in a real server, and a browser of one visitor, cookies and all."""

    address: str
    cookies: CookieJar

    def request(self, path: str, data: object = None, **headers: str) -> tuple[int, str]:
        """Return the status and the text of an answer; ``data``: a form (dict) or a body."""
        body = urllib.parse.urlencode(data) if isinstance(data, dict) else data
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            body.encode() if isinstance(body, str) else None,
            headers,
        )
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))
        try:
            with opener.open(request, timeout=TIMEOUT) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def socket(self, path: str, **options: object) -> ClientConnection:
        """Open a WebSocket as the visitor's page would."""
        cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)
        return connect(
            f"ws://{self.address}{path}",
            additional_headers={"Cookie": cookie} if cookie else None,
            open_timeout=TIMEOUT,
            **options,  # type: ignore[arg-type]
        )

    def refusal(self, path: str, **options: object) -> tuple[int, str]:
        """Return the status and the text with which a handshake is refused."""
        with pytest.raises(InvalidStatus) as info:
            self.socket(path, **options)
        response = info.value.response
        return response.status_code, (response.body or b"").decode()


@contextmanager
def running(name: str, **environ: str) -> Iterator[Site]:
    """Run gunicorn on an example; fail if it logged an error."""
    with run_server(
        f"{name}:{SERVED[name]}",
        # Less than the event stream would wait.
        args=["--graceful-timeout", "2"],
        env={**environ, "PYTHONDONTWRITEBYTECODE": "1"},
        chdir=EXAMPLES,
        may_log_errors=name in CUT_SHORT,
    ) as server:
        yield Site(f"127.0.0.1:{server.port}", CookieJar())


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    with ExitStack() as servers:

        def start(name: str, **environ: str) -> Site:
            return servers.enter_context(running(name, **environ))

        yield start


Serve = Callable[..., Site]


def receive(socket: ClientConnection) -> str:
    text = socket.recv(timeout=TIMEOUT)
    assert isinstance(text, str)
    return text


class OneFailure(BaseHTTPRequestHandler):
    """Fails at first, and has a picture then."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        self.send_response(503 if self.asked == 1 else 200)
        self.end_headers()
        self.wfile.write(b"PNG!")

    def log_message(self, *arguments: object) -> None:
        pass


def test_every_example_is_under_test() -> None:
    modules = {path.stem for path in EXAMPLES.glob("*.py") if not path.stem.startswith("test_")}
    assert modules == set(SERVED) | BESIDE


def test_every_example_is_shown() -> None:
    pages = "".join(page.read_text() for page in (ROOT / "docs").rglob("*.md"))
    assert [
        path.name for path in EXAMPLES.glob("*.*") if f"examples/{path.name}" not in pages
    ] == []


def test_the_chat_of_the_readme_is_the_example() -> None:
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    assert block[1] == (EXAMPLES / "chat.py").read_text()


def test_the_chat_has_twenty_lines() -> None:
    lines = (EXAMPLES / "chat.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) == 20


def test_the_chat_is_shown_and_spoken_on_one_url(serve: Serve) -> None:
    site = serve("chat")
    assert "<input" in site.request("/rooms/lobby")[1]
    with site.socket("/rooms/lobby") as one, site.socket("/rooms/lobby") as two:
        one.send("hello")
        assert receive(one) == receive(two) == "hello"


def test_the_tutorial_begins_with_an_ordinary_site(serve: Serve) -> None:
    site = serve("orders_site")
    site.request("/orders", {"what": "tea & cake"})
    assert "<li>tea &amp; cake</li>" in site.request("/")[1]


def test_the_tutorial_ends_with_a_push(serve: Serve) -> None:
    site = serve("orders_push")
    assert "new WebSocket" in site.request("/")[1]
    with site.socket("/orders") as page:
        site.request("/orders", {"what": "tea"})
        assert receive(page) == "tea"


def test_background_work_is_tried_again(serve: Serve) -> None:
    site = serve("background")
    with (
        site.socket("/editors") as editor,
        socketserver.TCPServer(("127.0.0.1", 0), OneFailure) as pictures,
    ):
        Thread(target=pictures.serve_forever, daemon=True).start()
        assert site.request("/pictures", {"url": f"http://127.0.0.1:{pictures.server_address[1]}"})
        assert receive(editor) == "4 bytes after 1 retries"
        pictures.shutdown()


def test_the_end_of_an_auction_is_put_off_and_comes(serve: Serve) -> None:
    site = serve("background")
    with site.socket("/editors") as editor:
        begun = time.monotonic()
        site.request("/auctions/7/bids", {})
        assert receive(editor) == "7: going once"
        site.request("/auctions/7/bids", {})
        assert [receive(editor), receive(editor)] == ["7: going once", "7: sold"]
        assert time.monotonic() >= begun + 6


def test_tasks_that_were_written_for_uwsgi_run_without_it(serve: Serve) -> None:
    site = serve("uwsgi_tasks")
    with site.socket("/office") as office:
        assert site.request("/orders/7", {}) == (202, "")
        assert receive(office) == "2 of the invoice for order 7"
        assert site.request("/stock", {}) == (202, "")
        assert receive(office).startswith("stock checked at ")


def test_a_session_authorises_a_socket(serve: Serve) -> None:
    site = serve("authorise_flask")
    assert site.refusal("/mine") == (403, "sign in first")
    site.request("/sign-in/ada", {})
    with site.socket("/mine") as mine:
        assert mine.ping().wait(TIMEOUT)


def test_a_socket_remembers_its_game(serve: Serve) -> None:
    site = serve("sessions")
    with site.socket("/guess") as game:
        low, high, count = 0, 99, 0
        answer = ""
        while not answer.startswith("yes"):
            number, count = (low + high) // 2, count + 1
            game.send(str(number))
            answer = receive(game)
            low, high = (number + 1, high) if answer == "higher" else (low, number - 1)
        assert answer == f"yes, at guess {count}"


def test_a_socket_knows_its_visitor(serve: Serve) -> None:
    site = serve("sessions")
    assert site.refusal("/greet") == (403, "sign in first")
    site.request("/sign-in/ada", {})
    with site.socket("/greet") as greeting:
        greeting.send("hello")
        assert receive(greeting) == "hello, ada"


def test_clicks_at_once_are_all_counted(serve: Serve) -> None:
    with serve("sessions").socket("/clicks") as clicks:
        for _ in range(20):
            clicks.send("click")
        assert max(int(receive(clicks)) for _ in range(20)) == 20


def test_a_ticket_authorises_a_socket(serve: Serve) -> None:
    site = serve("authorise_ticket")
    path = json.loads(site.request("/documents/7")[1])["socket"]
    with site.socket(path) as changes:
        assert changes.ping().wait(TIMEOUT)
    assert site.refusal(path.replace("/7/", "/8/")) == (403, "a ticket for another document")
    assert site.refusal("/documents/7/changes/forged") == (403, "no valid ticket")


def test_a_django_user_hears_the_news(serve: Serve, tmp_path: Path) -> None:
    database = {"SITE_DATABASE": str(tmp_path / "site.sqlite3")}
    script = (
        "import django_site; from django.core.management import call_command;"
        "call_command('migrate', verbosity=0);"
        "from django.contrib.auth.models import User; User.objects.create_user('ada', '', 'secret')"
    )
    subprocess.run(
        [sys.executable, "-c", script], cwd=EXAMPLES, env={**os.environ, **database}, check=True
    )
    site = serve("django_site", **database)
    assert site.refusal("/news") == (403, "sign in first")
    site.request("/sign-in", {"name": "ada", "password": "secret"})
    with site.socket("/news") as news:
        site.request("/announce", {"text": "it works"})
        assert receive(news) == "it works"
        news.send("hello")
        assert receive(news) == "ada: hello"


def test_a_pyramid_view_pushes(serve: Serve) -> None:
    site = serve("pyramid_site")
    with site.socket("/measurements") as measurements:
        assert site.request("/measurements", "21.5") == (200, '{"stored": true}')
        assert receive(measurements) == "21.5"


def test_a_view_a_job_and_a_thread_push(serve: Serve) -> None:
    site = serve("groups")
    with site.socket("/house") as house, site.socket("/clock") as clock:
        site.request("/doorbell", {})
        assert receive(house) == "somebody is at the door"
        assert site.request("/reports", {})[0] == 202
        assert receive(house) == "the report Sales is ready"
        assert re.fullmatch(r"\d\d:\d\d:\d\d", receive(clock))


def test_server_sent_events_carry_what_a_group_is_sent(serve: Serve) -> None:
    site = serve("streaming")
    address = f"http://{site.address}/news/events"
    with urllib.request.urlopen(address, timeout=TIMEOUT) as events:
        assert events.readline() == b": hello\n"
        site.request("/news", "it works")
        assert [events.readline() for _ in range(2)] == [b"\n", b"data: it works\n"]


def test_a_long_poll_is_answered_by_the_next_news(serve: Serve) -> None:
    site = serve("streaming")
    with ThreadPoolExecutor(1) as threads:
        poll = threads.submit(site.request, "/news/next")
        while not poll.done():  # until one publication falls into the poll
            site.request("/news", "it works")
        assert poll.result() == (200, "it works")


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("/members", (403, "members only")),
        ("/paid", (402, "pay first")),
        ("/limited", (429, "too many sockets of yours\n")),
        ("/chosen", (400, "speak chat.v2")),
    ],
)
def test_a_socket_is_refused(closing: Site, path: str, refusal: tuple[int, str]) -> None:
    assert closing.refusal(path) == refusal


def test_a_path_without_a_route_is_refused_with_404(closing: Site) -> None:
    assert closing.refusal("/nowhere")[0] == 404


def test_a_subprotocol_is_chosen(closing: Site) -> None:
    with closing.socket("/chosen", subprotocols=["chat.v1", "chat.v2"]) as socket:
        assert socket.subprotocol == "chat.v2"


def test_a_socket_is_closed_with_a_code_after_its_last_words(closing: Site) -> None:
    with closing.socket("/polite") as socket:
        socket.send("goodbye")
        assert receive(socket) == "see you"
        with pytest.raises(ConnectionClosed) as info:
            receive(socket)
        assert info.value.rcvd is not None
        assert (info.value.rcvd.code, info.value.rcvd.reason) == (4000, "you said so")


@pytest.fixture(scope="module")
def closing() -> Iterator[Site]:
    with running("closing") as site:
        yield site


def test_classes_share_a_board_and_split_streams(serve: Serve) -> None:
    site = serve("classes")
    with site.socket("/boards/a") as one, site.socket("/boards/a") as two:
        one.send('{"line": [0, 0, 3, 4]}')
        assert json.loads(receive(one)) == {"drawn": {"line": [0, 0, 3, 4]}}
        assert receive(two) is not None
    with site.socket("/streams") as streams:
        assert [json.loads(receive(streams))["stream"] for _ in range(2)] == ["left", "right"]
        streams.send('{"stream": "right", "payload": {"a": 1}}')
        assert json.loads(receive(streams)) == {"stream": "right", "payload": {"a": 1}}


@pytest.mark.parametrize("path", ["/old/echo", "/new/echo"])
def test_a_site_on_flask_sock_runs_beside_consumers(serve: Serve, path: str) -> None:
    with serve("flask_sock_site").socket(path) as socket:
        socket.send("hello")
        assert receive(socket) == "hello"


def test_what_was_a_flask_socketio_chat_chats(serve: Serve) -> None:
    with serve("from_socketio").socket("/rooms/a") as socket:
        socket.send('{"who": "ada", "text": "hello"}')
        assert json.loads(receive(socket)) == {"event": "said", "who": "ada", "text": "hello"}


def test_what_was_a_channels_consumer_chats(serve: Serve) -> None:
    with serve("from_channels").socket("/chat/a/") as socket:
        socket.send('{"text": "hello"}')
        assert json.loads(receive(socket)) == {"text": "hello"}


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_takes_the_configuration(tmp_path: Path) -> None:
    server = (EXAMPLES / "nginx.conf").read_text()
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {server} }}"
    )
    done = subprocess.run(
        ["nginx", "-t", "-p", str(tmp_path), "-c", str(configuration)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
