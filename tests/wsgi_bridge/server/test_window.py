"""A socket with a window: several events at once, each waited for no longer than it may be."""

from __future__ import annotations

import pytest

from tests.wsgi_bridge.protocols.frames import TEXT, client_frame, close_frame
from tests.wsgi_bridge.server.rig import Rig, settle, wait_for


@pytest.fixture(params=[False, True], ids=["each at once", "gathered"])
def rig(request):
    with Rig(gathers=request.param) as rig:
        yield rig


def open_with_window(rig, window):
    owner, client = rig.connect()
    rig.take()
    rig.reply(owner, {"accept": True, "window": window})
    assert client.read_head().startswith(b"HTTP/1.1 101 ")
    return owner, client


def talk(client, *texts):
    client.send(b"".join(client_frame(TEXT, text.encode()) for text in texts))


def take(rig, count):
    """Return the texts of so many events; fail if there is one more."""
    texts = [rig.take()[1]["text"] for _ in range(count)]
    settle()
    assert rig.poll() is None
    return texts


def test_as_many_events_as_the_window_are_out_and_each_acknowledgement_lets_one_more(rig):
    owner, client = open_with_window(rig, 3)
    talk(client, *"abcdef")
    assert take(rig, 3) == ["a", "b", "c"]
    rig.acknowledge(owner, 3)
    assert take(rig, 1) == ["d"]
    rig.acknowledge(owner, 1)
    rig.acknowledge(owner, 2)
    assert take(rig, 2) == ["e", "f"]


def test_one_lost_event_of_several_is_given_up_while_the_others_go_on(rig):
    owner, client = open_with_window(rig, 2)
    talk(client, "lost", "a")
    assert take(rig, 2) == ["lost", "a"]
    half = rig.layer.expiry / 2
    for order, text in enumerate("bcdef", 2):
        rig.acknowledge(owner, order)
        talk(client, text)
        assert take(rig, 1) == [text]
        rig.advance(half + 1)
    assert rig.counters.unacknowledged_count == 1
    talk(client, "g")
    assert take(rig, 1) == ["g"]  # the place of the lost one is free again


def test_all_events_of_a_dead_worker_are_given_up_within_two_expiries(rig, caplog):
    _, client = open_with_window(rig, 4)
    talk(client, *"abcdefgh")
    assert take(rig, 4) == list("abcd")
    rig.advance(rig.layer.expiry + 1)
    assert take(rig, 1) == ["e"]
    rig.advance(rig.layer.expiry + 1)
    assert take(rig, 3) == list("fgh")
    assert rig.counters.unacknowledged_count == 4
    assert "not acknowledged, and counted as lost: 3 of /chat" in caplog.text


def test_an_event_is_not_given_up_before_its_time(rig):
    owner, client = open_with_window(rig, 2)
    talk(client, "a")
    take(rig, 1)
    rig.advance(rig.layer.expiry - 1)
    talk(client, "b")
    take(rig, 1)
    rig.acknowledge(owner, 1)
    settle()
    rig.advance(rig.layer.expiry - 1)
    assert rig.counters.unacknowledged_count == 0
    rig.advance(2)
    assert rig.counters.unacknowledged_count == 1


def test_the_end_comes_after_every_event_is_done(rig):
    owner, client = open_with_window(rig, 3)
    talk(client, *"abc")
    client.send(close_frame(1000))
    client.close()
    assert take(rig, 3) == list("abc")
    rig.acknowledge(owner, 3)
    rig.acknowledge(owner, 1)
    settle()
    assert rig.poll() is None
    rig.acknowledge(owner, 2)
    channel, message = rig.take()
    assert (channel, message["order"]) == ("websocket.disconnect", 4)


def test_the_end_comes_also_when_nobody_acknowledges(rig):
    _, client = open_with_window(rig, 3)
    talk(client, *"abc")
    client.close()
    take(rig, 3)
    rig.advance(rig.layer.expiry + 1)
    assert rig.take()[0] == "websocket.disconnect"
    wait_for(rig.is_empty)
