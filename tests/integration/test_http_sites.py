"""Unmodified sites of three frameworks behind the worker: pages, forms, sessions, files."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.integration.servers import ROOT, run_server

pytestmark = pytest.mark.integration

PASSWORD = "correct horse battery staple"
# What `runserver` puts around a project so that its static files are found.
SERVED = """\
from django.contrib.staticfiles.handlers import StaticFilesHandler
from mysite.wsgi import application as site

application = StaticFilesHandler(site)
"""


class Browser:
    """Cookies, redirects and forms, as far as a test needs them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def open(
        self, path: str, data: bytes | None = None, **headers: str
    ) -> tuple[HTTPResponse, str]:
        """Return the response, after redirects, and its text."""
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            response = self._opener.open(request, timeout=10)
        except urllib.error.HTTPError as exc:
            response = exc
        with response:
            return response, response.read().decode()

    def submit(self, path: str, **fields: str) -> tuple[HTTPResponse, str]:
        """Post a form."""
        return self.open(path, urllib.parse.urlencode(fields).encode(), Referer=self.url + path)


# Django


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as `django-admin startproject` makes it, with a database and an administrator."""
    folder = tmp_path_factory.mktemp("django")
    run_django(folder, "startproject", "mysite", str(folder))
    run_django(folder, "migrate", "--verbosity", "0")
    run_django(
        folder, "createsuperuser", "--noinput", "--username", "ada", "--email", "ada@a.example"
    )
    (folder / "served.py").write_text(SERVED)
    return folder


def run_django(folder: Path, *arguments: str) -> None:
    settings = (
        {} if arguments[0] == "startproject" else {"DJANGO_SETTINGS_MODULE": "mysite.settings"}
    )
    environ = {**os.environ, "DJANGO_SUPERUSER_PASSWORD": PASSWORD, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "django", *arguments]
    subprocess.run(command, cwd=folder, env={**environ, **settings}, check=True, timeout=60)


@pytest.fixture(scope="module")
def django(project: Path) -> Iterator[Browser]:
    with run_server("served:application", chdir=project, may_log_errors=True) as server:
        yield Browser(server.url)


def test_a_new_django_project_shows_its_rocket(django: Browser) -> None:
    response, page = django.open("/")
    assert response.status == 200
    assert "The install worked successfully" in page


def test_the_admin_has_its_style_sheets(django: Browser) -> None:
    _, page = django.open("/admin/login/")
    sheets = re.findall(r'<link rel="stylesheet" href="(/static/[^"]+)"', page)
    assert sheets
    for sheet in sheets:
        response, text = django.open(sheet)
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/css")
        assert int(response.headers["Content-Length"]) == len(text.encode()) > 100


def test_the_administrator_logs_in_works_and_logs_out(django: Browser) -> None:
    _, page = django.open("/admin/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    login = {"csrfmiddlewaretoken": token, "username": "ada", "next": "/admin/"}
    _, page = django.submit("/admin/login/?next=/admin/", **login, password="guessed")
    assert "Please enter the correct username and password" in page
    response, page = django.submit("/admin/login/?next=/admin/", **login, password=PASSWORD)
    assert response.url == django.url + "/admin/"
    assert "Site administration" in page

    _, page = django.open("/admin/auth/group/add/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    _, page = django.submit("/admin/auth/group/add/", csrfmiddlewaretoken=token, name="Zürich")
    assert "Zürich" in page
    _, page = django.submit("/admin/logout/", csrfmiddlewaretoken=token)
    assert "Logged out" in page


def test_django_refuses_a_form_without_its_token(django: Browser) -> None:
    assert django.submit("/admin/login/", username="ada", password=PASSWORD)[0].status == 403


def test_djangos_not_modified_has_no_content(django: Browser) -> None:
    path = "/static/admin/css/base.css"
    modified = django.open(path)[0].headers["Last-Modified"]
    response, text = django.open(path, **{"If-Modified-Since": modified})
    assert (response.status, text) == (304, "")
    assert django.open(path)[0].status == 200


# Flask


@pytest.fixture(scope="module")
def flask() -> Iterator[Browser]:
    with run_server("tests.apps.flask_site:application", may_log_errors=True) as server:
        yield Browser(server.url)


def test_a_flask_session_lasts_from_request_to_request(flask: Browser) -> None:
    assert flask.open("/")[1] == "nobody"
    response, page = flask.submit("/sign-in", name="Ada Löve")
    assert (response.url, page) == (flask.url + "/", "signed in as Ada Löve")
    assert flask.open("/")[1] == "signed in as Ada Löve"


def test_a_flask_site_takes_a_file(flask: Browser) -> None:
    content = bytes(range(256)) * 2000
    body = (
        b'--cut\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'
        b'--cut\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--cut--\r\n"
    )
    kind = {"Content-Type": "multipart/form-data; boundary=cut"}
    _, text = flask.open("/upload", body, **kind)
    assert json.loads(text) == {"name": "f.bin", "size": len(content), "field": "value"}


def test_a_flask_site_streams_and_has_its_own_error_pages(flask: Browser) -> None:
    response, text = flask.open("/rows")
    assert text.count("row") == 1000
    assert "Content-Length" not in response.headers
    assert flask.open("/nowhere")[1] == "the site's own page"
    assert flask.open("/broken")[0].status == 500


# Pyramid


@pytest.fixture(scope="module")
def pyramid() -> Iterator[Browser]:
    with run_server("tests.apps.pyramid_site:application") as server:
        yield Browser(server.url)


def test_a_pyramid_site_renders_and_counts(pyramid: Browser) -> None:
    assert json.loads(pyramid.open("/hello/Ada")[1]) == {"hello": "Ada", "count": 0}
    for number in (1, 2):
        assert pyramid.submit("/add", number=str(number))[1] == "added"
    assert json.loads(pyramid.open("/hello/Ad%C3%A9")[1]) == {"hello": "Adé", "count": 3}


def test_a_pyramid_site_serves_files(pyramid: Browser) -> None:
    source = (ROOT / "tests/apps/pyramid_site.py").read_text()
    assert pyramid.open("/source")[1] == source
    assert pyramid.open("/static/pyramid_site.py")[1] == source
    assert pyramid.open("/static/nothing.py")[0].status == 404
