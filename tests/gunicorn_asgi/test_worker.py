"""What the worker class says of gunicorn's settings before anything starts."""

from __future__ import annotations

import logging
import os
import sys
from types import SimpleNamespace

import pytest
from gunicorn.config import Config

from gunicorn_asgi import SplitWorker, Worker
from gunicorn_asgi.layer import open_worker_layer
from gunicorn_asgi.split import _count_servers
from wsgi_bridge import Bridge, layers, open_layer
from wsgi_bridge.bridge import LAYER_VARIABLE
from wsgi_bridge.consumers import set_default_layer
from wsgi_bridge.layers.base import BaseLayer
from wsgi_bridge.layers.local_first import LocalFirstLayer
from wsgi_bridge.layers.memory import MemoryLayer


class Log:
    """Keeps the warnings and errors."""

    def __init__(self):
        self.warnings = []
        self.errors = []

    def log(self, level, text, fields, **_):
        kept = {logging.WARNING: self.warnings, logging.ERROR: self.errors}[level]
        kept.append(text % fields)


def check(worker=Worker, /, **settings):
    """Return the warnings of `check_config` for a configuration with these settings."""
    cfg = Config()
    for name, value in settings.items():
        cfg.set(name, value)
    log = Log()
    worker.check_config(cfg, log)
    return log.warnings


def test_the_default_configuration_is_accepted_in_silence():
    assert check() == []


def test_certificates_that_are_none_are_refused_with_their_names():
    with pytest.raises(RuntimeError, match=rf"no TLS with certfile='{__file__}'"):
        check(certfile=__file__, keyfile=__file__)


def test_a_hook_that_makes_no_context_is_refused():
    with pytest.raises(RuntimeError, match="must return an SSLContext, not None"):
        check(certfile=__file__, ssl_context=lambda config, default: None)


@pytest.mark.parametrize("layer", [None, "", "memory://", "memory://name"])
def test_a_server_without_consumers_is_refused_a_layer_that_nobody_reaches(layer, monkeypatch):
    monkeypatch.setenv("ASGI_CONSUMERS", "none")
    if layer is not None:
        monkeypatch.setenv(LAYER_VARIABLE, layer)
    with pytest.raises(RuntimeError, match=r"^consumers=none .* set CHANNEL_LAYER to one such as"):
        check()
    monkeypatch.setenv(LAYER_VARIABLE, "ipc://mysite")
    assert check() == []


def test_a_bad_setting_of_the_environment_is_refused(monkeypatch):
    monkeypatch.setenv("ASGI_HTTP_TIMEOUT", "soon")
    with pytest.raises(RuntimeError, match="ASGI_HTTP_TIMEOUT is 'soon', not a number"):
        check()


def test_room_for_no_connection_is_refused():
    with pytest.raises(RuntimeError, match="worker_connections=0 leaves room for nobody"):
        check(worker_connections=0)


def test_settings_of_the_bridge_in_gunicorns_configuration_are_warned_of(monkeypatch):
    names = SimpleNamespace(ping_interval=5, max_frame_rate=10, workers=2, own="the site's")
    monkeypatch.setitem(sys.modules, "__config__", names)
    monkeypatch.setenv("ASGI_MAX_FRAME_RATE", "10")
    (warning,) = check()
    assert warning.startswith("ping_interval has no effect in gunicorn's configuration")
    assert "or ASGI_PING_INTERVAL in the environment" in warning


def test_settings_in_a_configuration_that_is_a_module_are_warned_of_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "a_configuration", SimpleNamespace(close_window=5))
    (warning,) = check(config="python:a_configuration")
    assert "close_window has no effect" in warning


def test_a_variable_with_a_slip_in_it_is_warned_of_and_others_are_not(monkeypatch):
    for name in ("ASGI_PING_INTERVALL", "ASGI_APPLICATION", "ASGI_THREADS", "PING_INTERVAL"):
        monkeypatch.setenv(name, "5")
    (warning,) = check()
    assert "ASGI_PING_INTERVALL has no effect: ASGI_PING_INTERVAL is meant?" in warning


@pytest.mark.parametrize(
    ("settings", "environment", "sentence"),
    [
        ({"workers": 1}, {}, "say -w 2 or more, or use gunicorn_asgi.Worker"),
        ({"preload_app": True}, {}, "leave it out with gunicorn_asgi.SplitWorker"),
        ({"workers": 3}, {"ASGI_SERVERS": "3"}, "ASGI_SERVERS=3 of 3 workers leaves none"),
        ({}, {"ASGI_SERVERS": "some"}, "ASGI_SERVERS is 'some', not a whole number"),
        ({}, {"ASGI_CONSUMERS": "local"}, "leave ASGI_CONSUMERS out"),
        ({}, {LAYER_VARIABLE: "memory://"}, "cannot reach each other over memory://"),
    ],
)
def test_what_cannot_be_split_is_refused(settings, environment, sentence, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(RuntimeError, match=sentence):
        check(SplitWorker, **{"workers": 4, **settings})


def test_what_can_be_split_is_accepted_in_silence(monkeypatch):
    monkeypatch.setenv("ASGI_SERVERS", "3")
    assert check(SplitWorker, workers=4, threads=8) == []


def test_a_bad_setting_in_a_reload_does_not_end_the_master(monkeypatch):
    monkeypatch.setenv("ASGI_SERVERS", "some")
    log = Log()
    assert _count_servers(SimpleNamespace(workers=8), log) == 2
    (error,) = log.errors
    assert "ASGI_SERVERS is 'some', not a whole number" in error


# The layer


class Shared(BaseLayer):
    """A layer that others share, as far as it takes to open it."""

    @classmethod
    def from_url(cls, url, **options):
        layer = cls(**options)
        layer.url = url.geturl()
        return layer


Shared.__abstractmethods__ = frozenset()


@pytest.fixture
def ipc(monkeypatch):
    monkeypatch.setitem(layers._LAYERS, "ipc", f"{__name__}:Shared")


@pytest.fixture(autouse=True)
def no_layer(monkeypatch):
    monkeypatch.delenv(LAYER_VARIABLE, raising=False)
    yield
    set_default_layer(None)


def open_as_worker(bridge, *, workers=2, master=None, age=1):
    """Return the layer that one of several workers opens, and what it warned of."""
    cfg = Config()
    cfg.set("workers", workers)
    log = Log()
    layer = open_worker_layer(
        bridge, cfg, master=master or os.getpid(), is_first=age == 1, local_first=True, log=log
    )
    return layer, log.warnings


def site(environ, start_response):
    return []


def test_one_worker_has_the_memory_layer(ipc):
    layer, warnings = open_as_worker(Bridge(site), workers=1)
    assert (type(layer), warnings) == (MemoryLayer, [])


def test_several_workers_share_a_layer_behind_their_own(ipc):
    first, second = (open_as_worker(Bridge(site))[0] for _ in range(2))
    assert isinstance(first, LocalFirstLayer)
    assert first.shared.url == second.shared.url
    assert first.shared.url.startswith(f"ipc://gunicorn-{os.getpid()}-")
    for layer in (first, first.local, first.shared):
        assert layer.capacity_of("http.request") == 1000


def test_two_gunicorns_never_meet(ipc):
    urls = {open_as_worker(Bridge(site), master=pid)[0].shared.url for pid in (os.getpid(), 1)}
    assert len(urls) == 2


def test_a_master_that_cannot_be_looked_at_is_known_by_its_id(ipc):
    assert open_as_worker(Bridge(site), master=2**30)[0].shared.url == f"ipc://gunicorn-{2**30}-0"


def test_the_layer_that_a_site_names_is_used(ipc, monkeypatch):
    layer, _ = open_as_worker(Bridge(site, layer="ipc://named?capacity=7"), workers=1)
    assert (layer.shared.url, layer.local.capacity) == ("ipc://named?capacity=7", 7)
    given = Shared()
    assert open_as_worker(Bridge(site, layer=given))[0].shared is given
    monkeypatch.setenv(LAYER_VARIABLE, "ipc://environment")
    assert open_as_worker(Bridge(site))[0].shared.url == "ipc://environment"


def test_a_layer_that_is_local_first_already_is_not_wrapped_again():
    given = LocalFirstLayer(MemoryLayer(), Shared())
    assert open_as_worker(Bridge(site, layer=given))[0] is given


def test_groups_of_the_memory_layer_are_warned_of_once(ipc, monkeypatch):
    bridge = Bridge(site, layer=open_layer("memory://"))
    assert [open_as_worker(bridge, age=age)[1] != [] for age in (1, 2)] == [True, False]
    monkeypatch.delitem(layers._LAYERS, "ipc")
    (warning,) = open_as_worker(Bridge(site), workers=4)[1]
    assert "4 workers" in warning
