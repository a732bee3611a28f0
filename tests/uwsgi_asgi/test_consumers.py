"""What a site says of its server, and no terminator hears."""

from __future__ import annotations

from uwsgi_asgi.consumers import find_unheard
from wsgi_bridge import Bridge


def test_settings_of_a_bridge_are_not_those_of_a_terminator():
    bridge = Bridge(print, allowed_origins=["https://a.example"], ping_interval=5.0, pool_size=7)
    assert find_unheard(bridge.settings) == ["ping_interval", "allowed_origins"]


def test_what_the_environment_says_all_hear(monkeypatch):
    monkeypatch.setenv("ASGI_PING_INTERVAL", "5")
    assert find_unheard(Bridge(print, ping_interval=9.0).settings) == []
