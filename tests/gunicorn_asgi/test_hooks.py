"""gunicorn's pre_request and post_request around a site's app."""

from __future__ import annotations

import pytest
from gunicorn.config import Config

from gunicorn_asgi.hooks import add_hooks
from wsgi_bridge.testing import Client

WORKER = object()


class Hooks:
    """Hooks that note what they are given, in order with what the app does."""

    def __init__(self):
        self.noted = []

    def before(self, worker, request):
        assert worker is WORKER
        self.noted.append(("before", request.method, request.path, request.query))
        assert ("X-A", "1") in request.headers
        assert request.version == (1, 1)

    def after(self, worker, request, environ, response):
        assert (worker, environ["REQUEST_METHOD"]) == (WORKER, request.method)
        self.noted.append(("after", response.status, response.status_code, response.sent))

    def app(self, environ, start_response):
        self.noted.append("app")
        if environ["PATH_INFO"] == "/fails":
            raise LookupError
        write = start_response("200 OK", [("X-B", "2")])
        write(b"one")
        return self.stream() if environ["PATH_INFO"] == "/stream" else [b"two", b"three"]

    def stream(self):
        try:
            yield b"two"
        finally:
            self.noted.append("closed")


@pytest.fixture
def hooks():
    return Hooks()


def ask(hooks, path, **settings):
    cfg = Config()
    settings = settings or {"pre_request": hooks.before, "post_request": hooks.after}
    for name, hook in settings.items():
        cfg.set(name, hook)
    with Client(add_hooks(hooks.app, cfg, WORKER)) as client:
        response = client.get(path, headers={"X-A": "1"})
        return response.status, response.content


def test_gunicorns_own_hooks_cost_nothing(hooks):
    assert add_hooks(hooks.app, Config(), WORKER) == hooks.app


def test_hooks_are_called_before_the_app_and_after_its_response(hooks):
    assert ask(hooks, "/list?q=1") == (200, b"onetwothree")
    assert hooks.noted == [
        ("before", "GET", "/list", "q=1"), "app", ("after", "200 OK", 200, 11),
    ]  # fmt: skip


def test_the_last_hook_comes_after_a_stream_was_closed(hooks):
    assert ask(hooks, "/stream") == (200, b"onetwo")
    assert hooks.noted[-2:] == ["closed", ("after", "200 OK", 200, 6)]


def test_an_app_that_fails_is_a_500_and_the_last_hook_is_called(hooks):
    with pytest.raises(LookupError):  # as the client shows a 500
        ask(hooks, "/fails")
    assert hooks.noted[-1] == ("after", None, None, 0)


def test_a_first_hook_that_fails_is_a_500_and_the_app_is_not_called(hooks):
    def fail(worker, request):
        raise LookupError

    with pytest.raises(LookupError):
        ask(hooks, "/list", pre_request=fail)
    assert hooks.noted == []


def test_a_last_hook_that_fails_is_logged_and_the_response_is_whole(hooks, caplog):
    def fail(worker, request):  # gunicorn calls it with as many arguments as it has
        raise LookupError

    assert ask(hooks, "/list", post_request=fail) == (200, b"onetwothree")
    assert "Exception in post_request hook" in caplog.text
