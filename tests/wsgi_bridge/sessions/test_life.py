"""The session of a socket: what is kept, when, and for how long."""

from __future__ import annotations

import contextlib
import threading

import pytest

from tests.wsgi_bridge.worker_loop import DISCONNECT, RECEIVE, REPLY, Loop, survive
from wsgi_bridge import (
    ChannelLayerUnavailable,
    ConsumeLater,
    DenyConnection,
    InvalidMessage,
    MessageTooLarge,
    channel_session,
    route,
)
from wsgi_bridge.consumers import Message
from wsgi_bridge.outbox import Outbox
from wsgi_bridge.sessions import LIFETIME, ChannelSession

from .rig import KEY, READER, keep, kept, operations, run

# What is kept


def test_what_one_consumer_keeps_the_next_one_finds(layer):
    assert kept(layer) == {}
    value = {"text": "ä", "bytes": b"\xff", "numbers": [1, 2.5, True, None], "deep": {"a": {}}}
    keep(layer, **value)
    assert kept(layer) == value


def set_deep(session):
    session["deep"]["list"].append(1)


def replace_by_equal(session):
    session["number"] = True


# (what a consumer does with {"number": 1, "deep": {"list": []}}, what is there then)
CHANGES = {
    "set": (lambda s: s.__setitem__("a", 1), {"number": 1, "deep": {"list": []}, "a": 1}),
    "delete": (lambda s: s.__delitem__("deep"), {"number": 1}),
    "pop": (lambda s: s.pop("deep"), {"number": 1}),
    "clear": (lambda s: s.clear(), {}),
    "setdefault": (lambda s: s.setdefault("deep", {})["list"].append(2),
                   {"number": 1, "deep": {"list": [2]}}),
    "in the depth": (set_deep, {"number": 1, "deep": {"list": [1]}}),
    "to an equal value of another type": (replace_by_equal, {"number": True, "deep": {"list": []}}),
    "a tuple": (lambda s: s.__setitem__("number", (1, 2)),
                {"number": [1, 2], "deep": {"list": []}}),
}  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_every_kind_of_change_is_saved(memory, change, expected):
    keep(memory, number=1, deep={"list": []})
    run(memory, lambda message: change(message.channel_session))
    assert repr(kept(memory)) == repr(expected)


def look(session):
    return session.get("a"), len(session), "a" in session, list(session.items()), repr(session)


# (what a consumer does, what the storage is asked for)
COSTS = {
    "nothing": (lambda session: None, []),
    "look": (look, ["load"]),
    "set to what it is": (lambda session: session.update(a=1), ["load"]),
    "change": (lambda session: session.update(a=2), ["load", "save"]),
    "change and change back": (lambda session: (session.update(a=2), session.update(a=1)),
                               ["load"]),
}  # fmt: skip


@pytest.mark.parametrize(("act", "expected"), COSTS.values(), ids=COSTS)
def test_it_is_loaded_when_touched_and_saved_when_changed(memory, monkeypatch, act, expected):
    keep(memory, a=1)
    asked = operations(memory, monkeypatch)
    run(memory, lambda message: act(message.channel_session))
    assert asked == expected


def test_no_value_is_in_its_repr(memory):
    keep(memory, secret="hush")
    text = run(memory, lambda message: (message.channel_session["secret"], repr(message)))[1]
    assert "hush" not in text
    assert repr(ChannelSession(memory, REPLY)) == f"<ChannelSession of {REPLY}>"


def test_each_socket_has_its_own(memory):
    keep(memory, a=1)
    other = run(memory, lambda m: dict(m.channel_session), reply_channel=f"{READER}c2")
    assert other == {}


# When


def test_it_is_saved_before_the_acknowledgement_goes_out(layer, monkeypatch):
    done = []
    this_thread = threading.get_ident()

    @channel_session
    def count(message):
        message.channel_session["count"] = message.channel_session.get("count", 0) + 1

    loop = Loop([route(RECEIVE, count)], layer=layer)
    for name, owner in (("_save", layer.storage), ("hand_over", layer)):
        function = getattr(owner, name)

        def noted(*arguments, name=name, function=function, **options):
            if threading.get_ident() == this_thread:  # the worker reports its figures in another
                done.append(name)
            return function(*arguments, **options)

        monkeypatch.setattr(owner, name, noted)
    loop.worker.run(RECEIVE, {"reply_channel": REPLY, "path": "/", "text": "x", "order": 1})
    assert done == ["_save", "hand_over"]
    assert kept(layer) == {"count": 1}


@pytest.mark.parametrize(
    "exc", [ValueError(), DenyConnection(), ConsumeLater(), SystemExit(), KeyboardInterrupt()]
)
def test_a_consumer_that_failed_or_wants_to_be_called_again_has_changed_nothing(memory, exc):
    keep(memory, a=1)

    def fail(message):
        message.channel_session["a"] = 2
        raise exc

    with contextlib.suppress(BaseException):
        run(memory, fail)
    assert kept(memory) == {"a": 1}


def test_what_a_consumer_saved_itself_stays_when_it_fails(memory):
    def fail(message):
        message.channel_session["a"] = 1
        assert message.channel_session.save()
        assert not message.channel_session.save()
        message.channel_session["b"] = 2
        raise ValueError

    with contextlib.suppress(ValueError):
        run(memory, fail)
    assert kept(memory) == {"a": 1}


def test_it_can_be_saved_more_than_once(layer):
    def act(message):
        session = message.channel_session
        session["list"] = numbers = []
        session.save()
        numbers.append(1)
        session.save()
        numbers.append(2)

    run(layer, act)
    assert kept(layer) == {"list": [1, 2]}


def test_a_consumer_that_was_given_up_saves_nothing(memory):
    outbox = Outbox(memory)

    def late(message):
        message.channel_session["a"] = 1
        outbox.shut()

    with outbox:
        content = {"reply_channel": REPLY}
        channel_session(late)(Message(content, RECEIVE, memory))
    assert kept(memory) == {}


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (object(), InvalidMessage, "the channel session cannot be saved: .*object"),
        ("x" * 20_000_000, MessageTooLarge, "the channel session cannot be saved"),
    ],
)
def test_what_a_layer_does_not_carry_is_refused_when_it_is_saved(memory, value, error, text):
    with pytest.raises(error, match=text):
        keep(memory, a=value)


def test_a_consumer_fails_whose_session_cannot_be_saved(memory, monkeypatch, caplog):
    def refuse(*_arguments, **_options):
        raise ChannelLayerUnavailable("gone")

    monkeypatch.setattr(memory.storage, "save", refuse)
    loop = Loop(
        [route(RECEIVE, channel_session(lambda m: m.channel_session.update(a=1)))], layer=memory
    )
    survive(loop, lambda: loop.send(RECEIVE, text="x", order=1))
    assert loop.answers() == [{"close": 1011, "ack": 1}]
    assert "the consumer failed: websocket.receive" in caplog.text


# How long


def test_it_is_gone_with_its_socket_but_the_disconnect_still_finds_it(layer):
    keep(layer, a=1)
    layer.forget_channel(REPLY)
    layer.clock.now += layer.expiry - 1
    assert run(layer, lambda m: dict(m.channel_session), DISCONNECT, code=1000) == {"a": 1}
    layer.clock.now += 2
    assert kept(layer) == {}


def test_what_is_changed_at_the_disconnect_is_not_kept(layer):
    keep(layer, a=1)
    layer.forget_channel(REPLY)

    def leave(message):
        message.channel_session["a"] = 2
        message.channel_session.save()
        message.channel_session.change(lambda data: data.update(b=3))
        assert dict(message.channel_session) == {"a": 2, "b": 3}

    run(layer, leave, DISCONNECT)
    layer.clock.now += layer.expiry + 1
    assert kept(layer) == {}


def test_a_socket_that_is_silent_for_weeks_keeps_it(layer):
    keep(layer, a=1)
    layer.clock.now += LIFETIME - 1
    assert kept(layer) == {"a": 1}


def test_reading_it_now_and_then_keeps_it(layer, monkeypatch):
    keep(layer, a=1)
    asked = operations(layer, monkeypatch)
    for _ in range(3):
        layer.clock.now += LIFETIME * 0.4
        assert kept(layer) == {"a": 1}
    assert asked == ["load", "load", "save", "load"]


def test_one_that_is_gone_is_not_brought_back_by_who_still_has_it(layer):
    keep(layer, a=1)

    def outlive(message):
        message.channel_session["b"] = 2
        layer.forget_channel(REPLY)
        layer.clock.now += layer.expiry + 1

    run(layer, outlive)
    assert layer.storage.load(KEY) == (None, 0)
