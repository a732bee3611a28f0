"""The inis and the nginx configurations of the how-to for uWSGI do what it says, for real."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, unix_connect

from tests.integration.servers import PATIENCE, ROOT, die_with_parent, run_server, wait_for
from tests.integration.uwsgi_servers import UwsgiServer, find_uwsgi

pytestmark = pytest.mark.integration
EXAMPLES = ROOT / "docs" / "examples"

# A project as Django makes one, of the example, which is one file.
MYSITE = {
    "__init__.py": "",
    "wsgi.py": "import django_site\napplication = django_site.get_wsgi_application()\n",
    "realtime.py": "from django_site import application\n",
}


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site, and the paths of its sockets. Short, since those of sockets are."""
    found = tmp_path_factory.mktemp("s")
    (found / "mysite").mkdir()
    for name, text in MYSITE.items():
        (found / "mysite" / name).write_text(text)
    for name in ("chat.py", "django_site.py"):
        shutil.copy(EXAMPLES / name, found)
    return found


def localise(text: str, folder: Path) -> str:
    """Return an example with the paths of this machine."""
    return (
        text.replace("/srv/mysite/venv/bin/python", sys.executable)
        .replace("/srv/mysite/venv", sys.prefix)
        .replace("/srv/mysite", str(folder))
        .replace("/run/mysite", str(folder))
        .replace("socket = ", f"pythonpath = {ROOT}\nhttp-socket = 127.0.0.1:0\nsocket = ", 1)
        .replace("listen 80", f"listen unix:{folder}/nginx.sock")
    )


@contextlib.contextmanager
def run_uwsgi(name: str, folder: Path, *, mules: int, layer: str = "") -> Iterator[UwsgiServer]:
    """Run uWSGI on an example during the block."""
    ini, log_path = folder / name, folder / "uwsgi.log"
    text = localise((EXAMPLES / name).read_text(), folder)
    ini.write_text(text.replace(" :uwsgi", f" --layer {layer} :uwsgi") if layer else text)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SITE_DATABASE": str(folder / "site.sqlite3")}
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [find_uwsgi(), "--ini", str(ini)],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
        )
    server = UwsgiServer.__new__(UwsgiServer)
    try:
        server.__init__(process, log_path, mules)  # type: ignore[misc]
        yield server
    except BaseException:
        if process.poll() is None:
            print(log_path.read_text(errors="replace"))
            server.destroy()
        raise
    server.stop(signal.SIGINT)
    server.check_clean(may_log_errors=False, may_lose_workers=False)


@contextlib.contextmanager
def run_nginx(name: str, folder: Path) -> Iterator[str]:
    """Run nginx on an example; yield the path of the socket on which it listens."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    shutil.copy("/etc/nginx/uwsgi_params", folder)
    server = localise((EXAMPLES / name).read_text(), folder)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} pid {folder}/nginx.pid; error_log stderr; daemon off; worker_processes 1;"
        f"events {{}} http {{ access_log off; client_body_temp_path {folder}/b;"
        f"proxy_temp_path {folder}/p; uwsgi_temp_path {folder}/u; fastcgi_temp_path {folder}/f;"
        f"scgi_temp_path {folder}/s; {server} }}"
    )
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(
            ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")],
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
        )
    try:
        path = folder / "nginx.sock"
        wait_for(lambda: can_connect(path), "nginx", log=(folder / "nginx.log").read_text)
        yield str(path)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def can_connect(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class Answer(NamedTuple):
    headers: Message
    text: str


def make_database(folder: Path) -> None:
    """Have a user, ada, in the database of the Django site."""
    script = (
        "import django_site; from django.core.management import call_command;"
        "call_command('migrate', verbosity=0);"
        "from django.contrib.auth.models import User; User.objects.create_user('ada', '', 'secret')"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SITE_DATABASE": str(folder / "site.sqlite3")}
    subprocess.run([sys.executable, "-c", script], cwd=folder, env=env, check=True)


def request(path: str, method: str, target: str, body: str = "") -> Answer:
    """Return an answer that comes through nginx."""
    connection = http.client.HTTPConnection("example.com", timeout=PATIENCE)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(PATIENCE)
    connection.sock.connect(path)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
    connection.request(method, target, body, headers)
    with contextlib.closing(connection), connection.getresponse() as response:
        assert response.status == 200
        return Answer(response.headers, response.read().decode())


def open_socket(path: str, target: str, **headers: str) -> ClientConnection:
    uri = f"ws://example.com{target}"
    return unix_connect(path, uri, additional_headers=headers, open_timeout=PATIENCE)


def test_the_flask_site_behind_nginx_has_pages_and_sockets(folder: Path) -> None:
    with (
        run_uwsgi("uwsgi-flask.ini", folder, mules=2),
        run_nginx("uwsgi-nginx.conf", folder) as path,
    ):
        assert "<input" in request(path, "GET", "/rooms/lobby").text
        one, two = open_socket(path, "/rooms/lobby"), open_socket(path, "/rooms/lobby")
        with one, two:
            one.send("hello")
            assert one.recv(PATIENCE) == two.recv(PATIENCE) == "hello"


def test_the_django_site_has_sockets_under_the_prefix(folder: Path) -> None:
    make_database(folder)
    with (
        run_uwsgi("uwsgi-django.ini", folder, mules=2),
        run_nginx("uwsgi-nginx.conf", folder) as path,
    ):
        with pytest.raises(InvalidStatus) as refused:
            open_socket(path, "/news")
        response = refused.value.response
        assert (response.status_code, response.body) == (403, b"sign in first")
        answer = request(path, "POST", "/sign-in", "name=ada&password=secret")
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        with open_socket(path, "/news", Cookie=cookie) as news:
            request(path, "POST", "/announce", "text=tea")
            assert news.recv(PATIENCE) == "tea"
            news.send("hello")
            assert news.recv(PATIENCE) == "ada: hello"


def test_without_the_line_a_bridge_is_the_site(folder: Path) -> None:
    lines = (EXAMPLES / "uwsgi-flask.ini").read_text().splitlines()
    assert lines[-1].startswith("ini = ")
    before = "\n".join(["[uwsgi]", "master = true", *lines[2:-1], ""])
    (folder / "before.ini").write_text(localise(before, folder))
    log_path = folder / "before.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [find_uwsgi(), "--ini", str(folder / "before.ini")],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            preexec_fn=die_with_parent,
        )  # fmt: skip
    try:
        with run_nginx("uwsgi-nginx.conf", folder) as path:
            wait_for(
                lambda: (
                    (folder / "uwsgi.sock").exists()
                    and "spawned uWSGI worker 1 " in log_path.read_text(errors="replace")
                ),
                "uWSGI",
                log=log_path.read_text,
            )
            assert "<input" in request(path, "GET", "/rooms/lobby").text
            with pytest.raises(InvalidStatus) as refused:
                open_socket(path, "/rooms/lobby")
            assert refused.value.response.status_code == 426
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)


def test_a_push_from_uwsgi_reaches_sockets_that_have_moved_to_gunicorn(folder: Path) -> None:
    """The Flask site, so that nobody has to sign in; its rooms have moved, or not yet."""
    layer = f"ipc://{folder}/layer"
    binds = [f"unix:{folder}/gunicorn.sock"]
    moved = (EXAMPLES / "uwsgi-to-gunicorn.conf").read_text()
    assert "location /news" in moved
    with (
        run_uwsgi("uwsgi-flask.ini", folder, mules=2, layer=layer),
        run_server("chat:application", env={"CHANNEL_LAYER": layer}, chdir=EXAMPLES, binds=binds),
        run_nginx("uwsgi-nginx.conf", folder) as path,
    ):
        here = open_socket(path, "/rooms/lobby")
        there = open_socket(str(folder / "gunicorn.sock"), "/rooms/lobby")
        with here, there:
            here.send("from uWSGI")
            assert here.recv(PATIENCE) == there.recv(PATIENCE) == "from uWSGI"
            there.send("from gunicorn")
            assert here.recv(PATIENCE) == there.recv(PATIENCE) == "from gunicorn"


def test_nginx_passes_some_paths_to_gunicorn_and_others_to_uwsgi(folder: Path) -> None:
    def answer(text: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)

    with (
        listen(folder / "gunicorn.sock") as gunicorn,
        listen(folder / "uwsgi.sock") as uwsgi,
        run_nginx("uwsgi-to-gunicorn.conf", folder) as path,
    ):
        for server, target, text in ((gunicorn, "/news", b"new"), (uwsgi, "/orders", b"old")):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(b"GET %s HTTP/1.1\r\nHost: example.com\r\n\r\n" % target.encode())
                connection, _ = server.accept()
                with connection:
                    assert connection.recv(65536)
                    connection.sendall(answer(text))
                client.settimeout(PATIENCE)
                assert client.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def listen(path: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    found.settimeout(PATIENCE)
    found.bind(str(path))
    found.listen()
    return found
