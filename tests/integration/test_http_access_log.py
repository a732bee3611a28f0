"""The access log over real requests, in gunicorn's format; the scheme that proxies tell."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from tests.integration.servers import Server, run_server
from tests.integration.wire import Wire, ask, open_wire, post, request

pytestmark = pytest.mark.integration
ARRANGEMENTS = ["", "--threads 8"]

SITE = "tests.apps.site:application"
FORMAT = "%(m)s|%(U)s|%(q)s|%(s)s|%(B)s|%({x-one}i)s|%({content-type}o)s|%(H)s|%(l)s|%(M)s|%(r)s"
SERVER = {
    "app": SITE,
    "args": ["--access-logfile", "-", "--access-logformat", FORMAT],
    "may_log_errors": True,
}


def line_of(server: Server, mark: str) -> str:
    """Return the access line with ``mark`` in it."""
    server.wait_for_log(mark)
    return next(line for line in server.log().splitlines() if mark in line and "|" in line)


@pytest.mark.parametrize(
    ("data", "mark", "expected"),
    [
        (
            request("/?first", "X-One: 1"),
            "first",
            r"GET\|/\|first\|200\|14\|1\|text/plain\|HTTP/1.1\|-\|\d+\|GET /\?first HTTP/1.1",
        ),
        (
            post("/echo?second", b"x" * 1000),
            "second",
            r"POST\|/echo\|second\|200\|1000\|-\|text/plain\|HTTP/1.1\|-\|\d+\|POST .*",
        ),
        (
            request("/stream?count=5&size=70000&third", version="1.0"),
            "third",
            r"GET\|/stream\|count=5.*\|200\|350000\|-\|text/plain\|HTTP/1.0\|-\|\d+\|GET .*",
        ),
        (request("/fail?fourth"), "fourth", r"GET\|/fail\|fourth\|500\|\d+\|.*"),
        (request("/status:204?fifth"), "fifth", r"GET\|/status:204\|fifth\|204\|0\|.*"),
        (request("/sleep?seconds=0.2&six"), "six", r"GET\|/sleep\|.*\|2\d\d\|GET .*"),
    ],
)
def test_a_line_says_what_its_format_asks(
    server: Server, data: bytes, mark: str, expected: str
) -> None:
    ask(server, data)
    assert re.fullmatch(expected, line_of(server, mark))


def test_a_client_that_left_is_logged_too(server: Server) -> None:
    with open_wire(server) as wire:
        wire.send(request("/endless?gone"))
        wire.read_head()
        wire.reset()
    assert line_of(server, "|gone|").split("|")[3] == "200"


def test_the_default_format_is_gunicorns() -> None:
    with run_server(SITE, args=["--access-logfile", "-"]) as server:
        data = request("/environ?q", "User-Agent: tests/1", "Referer: http://a.example/")
        size = len(ask(server, data).content)
        log = server.wait_for_log("tests/1")
    expected = (
        r"127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
        rf'"GET /environ\?q HTTP/1\.1" 200 {size} "http://a\.example/" "tests/1"'
    )
    assert re.search(rf"^{expected}$", log, re.M)


# X-Forwarded-Proto


def scheme_of(server: Server, *fields: str) -> str:
    environ = json.loads(ask(server, request("/environ", *fields)).content)
    return environ["wsgi.url_scheme"]


def test_a_proxy_on_this_machine_may_say_that_its_client_came_by_tls(server: Server) -> None:
    assert scheme_of(server) == "http"
    assert scheme_of(server, "X-Forwarded-Proto: https") == "https"
    assert scheme_of(server, "X-Forwarded-Proto: http") == "http"
    assert scheme_of(server, "X-Forwarded-Ssl: on") == "https"
    assert scheme_of(server, "X-Forwarded-Proto: spdy") == "http"


def test_anybody_else_may_not(tmp_path: Path) -> None:
    path = tmp_path / "site.sock"
    binds = ("127.0.0.1:0", f"unix:{path}")
    args = ["--forwarded-allow-ips", "192.0.2.0/24"]
    with run_server(SITE, binds=binds, args=args) as server:
        assert scheme_of(server, "X-Forwarded-Proto: https") == "http"
        # Whoever may open a Unix socket is trusted, as gunicorn has it.
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(path))
            answer = Wire(sock).ask(request("/environ", "X-Forwarded-Proto: https"))
            assert json.loads(answer.content)["wsgi.url_scheme"] == "https"


def test_a_secure_header_of_the_sites_own_choice_is_read(tmp_path: Path) -> None:
    config = tmp_path / "conf.py"
    config.write_text("secure_scheme_headers = {'X-Scheme': 'tls'}\nforwarded_allow_ips = '*'\n")
    with run_server(SITE, args=["--config", str(config)]) as server:
        assert scheme_of(server, "X-Scheme: tls") == "https"
        assert scheme_of(server, "X-Forwarded-Proto: https") == "http"
