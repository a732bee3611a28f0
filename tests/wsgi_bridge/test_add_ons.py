"""What a library adds to every bridge of a process."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.worker_loop import answers
from wsgi_bridge import Bridge, add_ons, open_layer, route
from wsgi_bridge.add_ons import AddOn
from wsgi_bridge.delays import Periodic
from wsgi_bridge.testing import Client
from wsgi_bridge.worker import channels_of


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(add_ons, "_installed", [])


def test_a_bridge_has_the_routes_of_what_is_installed_before_and_after_it() -> None:
    add_ons.install(AddOn(routing=(route("before", print),)))
    bridge = Bridge(answers("200 OK"), [route("own", print)])
    assert channels_of(bridge) >= {"own", "before"}
    add_ons.install(AddOn(routing=(route("after", print),)))
    assert channels_of(bridge) >= {"own", "before", "after"}


def test_a_sites_own_route_goes_first() -> None:
    seen: list[str] = []
    add_ons.install(AddOn(routing=(route("jobs", lambda message: seen.append("added")),)))
    own = route("jobs", lambda message: seen.append("own"), kind="own")
    with Client(Bridge(answers("200 OK"), [own])) as client:
        client.send("jobs", {"kind": "own"})
        client.send("jobs", {"kind": "other"})
    assert seen == ["own", "added"]


def test_the_table_is_compiled_when_something_is_added_and_not_each_time() -> None:
    bridge = Bridge(answers("200 OK"))
    assert bridge.router is bridge.router
    add_ons.install(AddOn(routing=(route("jobs", print),)))
    assert bridge.router is bridge.router


def test_what_is_installed_twice_is_there_once() -> None:
    added = AddOn(routing=(route("jobs", print),))
    add_ons.install(added)
    add_ons.install(added)
    assert len(Bridge(answers("200 OK")).router.routes) == 1


def test_what_recurs_is_on_the_timetable_and_what_comes_later_within_a_minute() -> None:
    recurring: list[Periodic] = []
    ticks: list[str] = []
    tick = route(["own", "first", "second"], lambda message: ticks.append(message.channel_name))
    add_ons.install(AddOn(routing=(tick,), recurring=recurring))
    recurring.append(Periodic.make(30, "first", {}, "first"))
    bridge = Bridge(answers("200 OK"))
    bridge.send_every(50, "own")
    with Client(bridge) as client:
        client.run()
        recurring.append(Periodic.make(30, "second", {}, "second"))
        client.clock.advance(60)
        assert ticks == ["first", "own"]  # a second "first" is due in the same turn, once for both
        client.clock.advance(30)
        assert sorted(ticks) == ["first", "first", "own", "second"]


def test_an_add_on_hears_that_a_layer_was_opened() -> None:
    opened: list[int] = []
    add_ons.install(AddOn(on_open=lambda: opened.append(1)))
    bridge = Bridge(answers("200 OK"), layer=open_layer("memory://"))
    assert opened == []
    assert bridge.layer is bridge.layer
    assert opened == [1]
