"""@spool, @spoolraw, @spoolforever: work that is kept until it is done."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.wsgi_bridge.worker_loop import answers
from uwsgi_asgi.decorators import (
    SPOOL_IGNORE,
    SPOOL_OK,
    SPOOL_RETRY,
    set_spooler_frequency,
    spool,
    spoolforever,
    spoolraw,
)
from uwsgi_asgi.decorators.leases import Lease
from uwsgi_asgi.decorators.spooler import CHANNEL
from wsgi_bridge import Bridge, Channel, route
from wsgi_bridge.testing import Client

FREQUENCY = 30.0
# What @spool makes of what a function returns.
DONE = {"ud_spool_ret": "-2"}


@pytest.fixture
def calls() -> list[Any]:
    return []


@pytest.fixture
def client() -> Iterator[Client]:
    """What runs the functions. Made by a test after it has decorated them."""
    clients: list[Client] = []

    class Late:
        def __getattr__(self, name: str) -> Any:
            if not clients:
                clients.append(Client(Bridge(answers("200 OK")), raise_exceptions=False))
            return getattr(clients[0], name)

    yield Late()  # type: ignore[misc]
    for each in clients:
        each.close()


def left(client: Client) -> int:
    """Return how many jobs are kept."""
    return client.layer.storage.scheduled().number


# What a function gets


def test_a_call_has_the_function_called_once_by_who_runs_consumers(client, calls):
    @spool
    def work(arguments):
        calls.append(arguments)

    client.run()
    name = work({"pk": "7"})
    assert calls == []
    client.run()
    assert [call["pk"] for call in calls] == ["7"]
    assert calls[0]["spooler_task_name"] == name.decode()
    client.clock.advance(10 * FREQUENCY)
    assert len(calls) == 1
    assert left(client) == 0


@pytest.mark.parametrize(
    ("args", "kwargs", "got"),
    [
        (({"a": "b"},), {}, {"a": "b"}),
        (({b"a": b"b"},), {}, {"a": "b"}),
        ((), {"a": "b", "c": b"d"}, {"a": "b", "c": "d"}),
        (({"a": "b", "c": "d"},), {"a": "e"}, {"a": "e", "c": "d"}),
        (({"n": 7, "x": 0.5},), {}, {"n": "7", "x": "0.5"}),
        (({"a": "é"},), {"body": b"x" * 100_000}, {"a": "é", "body": "x" * 100_000}),
        (({"a": b"\xff"},), {}, {"a": b"\xff"}),
        ((), {"priority": "3", "spooler": b"/var/spool"},
         {"priority": "3", "spooler": "/var/spool"}),
    ],
)  # fmt: skip
def test_it_gets_a_dict_of_text(client, calls, args, kwargs, got):
    @spool
    def work(arguments):
        calls.append(arguments)

    client.run()
    work(*args, **kwargs)
    client.run()
    [found] = calls
    del found["spooler_task_name"]
    assert found == {"ud_spool_func": "work", "ud_spool_ret": "-2", **got}


@pytest.mark.parametrize("value", [None, True, [1], {"a": 1}])
def test_what_is_no_text_is_refused_where_it_is_called(client, value):
    @spool
    def work(arguments): ...

    client.run()
    with pytest.raises(ValueError, match=r"'a' is .*: expected str or bytes; with pass_arguments"):
        work({"a": value})


def test_with_pass_arguments_it_is_called_with_what_pickles(client, calls):
    @spool(pass_arguments=True)
    def work(*args, **kwargs):
        calls.append((args, kwargs))

    client.run()
    work(1, {"two": {3}}, four=None, priority="1", body=b"\xff")
    client.run()
    assert calls == [((1, {"two": {3}}), {"four": None})]


def test_a_function_that_passes_no_arguments_unpickles_nothing(client, calls):
    @spool
    def work(arguments):
        calls.append(arguments)

    client.run()
    message = {"function": work.name, "job": "x", "values": DONE, "arguments": b"no pickle"}
    client.send(CHANNEL, message)
    assert len(calls) == 1


def test_the_function_itself_and_the_old_way_to_spool_are_there(client, calls):
    def function(arguments):
        """Say what it does."""
        calls.append(arguments["a"])

    work = spool(function)
    client.run()
    work.f({"a": "at once"})
    function.spool({"a": "later"})
    work.spool({"a": "later still"})
    assert calls == ["at once"]
    client.run()
    assert sorted(calls) == ["at once", "later", "later still"]
    assert (work.__name__, work.__doc__) == ("function", "Say what it does.")


# When


@pytest.mark.parametrize("form", [str, lambda at: str(at).encode(), float, int])
def test_at_is_when(client, calls, form):
    @spool
    def work(arguments):
        calls.append(arguments["at"])

    @spool(pass_arguments=True)
    def other():
        calls.append("other")

    client.run()
    at = form(client.clock() + 100)
    work(at=at)
    other(at=at)
    client.clock.advance(98)
    assert calls == []
    client.clock.advance(3)
    assert len(calls) == 2


def test_a_time_that_is_none_is_refused(client):
    @spool
    def work(arguments): ...

    with pytest.raises(ValueError, match="at is 'noon': expected seconds since the epoch"):
        work(at="noon")


def test_a_consumer_that_spools_does_so_at_once():
    @spool
    def work(arguments): ...

    seen = []

    def consumer(message):
        work()
        seen.append(message.channel_layer.storage.scheduled().number)

    with Client(Bridge(answers("200 OK"), [route("begin", consumer)])) as client:
        client.send("begin", {})
    assert seen == [1]


# What becomes of it


@pytest.mark.parametrize(
    ("decorator", "result", "is_done"),
    [
        (spool, None, True),
        (spool, SPOOL_RETRY, True),
        (spoolraw, SPOOL_OK, True),
        (spoolraw, SPOOL_RETRY, False),
        (spoolraw, SPOOL_IGNORE, False),
        (spoolraw, None, False),
        (spoolraw, "-2", True),
        (spoolforever, None, False),
        (spoolforever, SPOOL_OK, False),
    ],
)
def test_what_is_not_done_comes_again(client, calls, decorator, result, is_done):
    @decorator
    def work(arguments):
        calls.append(arguments)
        return result

    client.run()
    work()
    client.run()
    assert left(client) == (0 if is_done else 1)
    for _ in range(3):
        client.clock.advance(FREQUENCY)
    assert len(calls) == (1 if is_done else 4)


@pytest.mark.parametrize("decorator", [spool, spoolraw, spoolforever])
def test_one_that_raises_comes_again_and_is_logged(client, calls, caplog, decorator):
    @decorator
    def work(arguments):
        calls.append(arguments)
        if len(calls) < 3:
            raise OSError("not today")
        return SPOOL_OK

    client.run()
    work()
    client.run()
    assert "not today" in caplog.text
    client.clock.advance(FREQUENCY)
    client.clock.advance(FREQUENCY)
    assert len(calls) == 3


def test_the_frequency_is_the_sites_to_choose(client, calls):
    @spoolforever
    def work(arguments):
        calls.append(arguments)

    set_spooler_frequency(5)
    client.run()
    work()
    client.run()
    client.clock.advance(5)
    assert len(calls) == 2
    with pytest.raises(ValueError, match="expected seconds above 0"):
        set_spooler_frequency(0)


def test_a_job_is_taken_back_like_any_message_for_later(client, calls):
    @spoolforever
    def work(arguments):
        calls.append(arguments)

    client.run()
    name = work()
    client.run()
    assert Channel(CHANNEL).cancel(name.decode())
    client.clock.advance(2 * FREQUENCY)
    assert len(calls) == 1


# One at a time, and no more than needed


def test_a_job_that_runs_elsewhere_is_left_alone(client, calls):
    @spool
    def work(arguments):
        calls.append(arguments)

    client.run()
    lease = Lease(client.layer, f"{CHANNEL}.x", FREQUENCY)
    assert lease.acquire()
    message = {"function": work.name, "job": "x", "values": DONE}
    client.send(CHANNEL, message)
    assert calls == []
    lease.release()
    client.send(CHANNEL, message)
    assert len(calls) == 1


def test_a_job_of_a_process_that_died_is_anybodys_after_a_while(client, calls):
    @spool
    def work(arguments):
        calls.append(arguments)

    client.run()
    work()
    # It was taken, and whoever took it is gone.
    [plan] = client.layer.storage.plans()
    storage = client.layer.storage
    assert storage.save(f"{CHANNEL}.{plan.key}", {"by": "the dead"}, ttl=20, expected_version=0)
    client.run()
    assert calls == []
    client.clock.advance(FREQUENCY)
    assert len(calls) == 1
    assert left(client) == 0


def test_copies_of_a_job_that_is_done_do_nothing(client, calls):
    @spool
    def work(arguments):
        calls.append(arguments)

    client.run()
    message = {"function": work.name, "job": "x", "values": DONE}
    Channel(CHANNEL).send_later(message, delay=0, every=FREQUENCY, id="x")
    client.layer.send(CHANNEL, message)
    client.run()
    assert len(calls) == 1
    client.clock.advance(client.layer.expiry)
    client.send(CHANNEL, message)
    assert len(calls) == 1


def test_who_died_between_done_and_taken_back_is_made_up_for(client, calls):
    @spool
    def work(arguments):
        calls.append(arguments)

    client.run()
    message = {"function": work.name, "job": "x", "values": DONE}
    Lease(client.layer, f"{CHANNEL}.x", 1).spend(1000)
    Channel(CHANNEL).send_later(message, delay=0, every=FREQUENCY, id="x")
    client.run()
    assert (calls, left(client)) == ([], 0)


def test_a_lease_outlives_its_ttl_as_long_as_it_is_held(client, calls):
    client.run()
    layer = client.layer
    lease = Lease(layer, "x", 10)
    assert lease.acquire()
    for _ in range(3):
        client.clock.advance(9)
        assert lease.renew()
    assert not Lease(layer, "x", 10).acquire()
    client.clock.advance(11)
    other = Lease(layer, "x", 10)
    assert other.acquire()
    assert not lease.renew()
    lease.release()
    assert not Lease(layer, "x", 10).acquire()
    other.release()


# Where it is


def test_the_module_of_a_function_is_imported_by_who_runs_it(client, calls, tmp_path, monkeypatch):
    @spool
    def other(arguments): ...

    (tmp_path / "later_tasks.py").write_text(
        "from uwsgi_asgi.decorators import spool\n"
        "calls = []\n"
        "@spool\ndef work(arguments):\n    calls.append(arguments['a'])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    client.run()
    message = {"function": "later_tasks:work", "job": "x", "values": {**DONE, "a": "b"}}
    client.send(CHANNEL, message)
    assert sys.modules.pop("later_tasks").calls == ["b"]


def test_a_module_may_have_another_name_in_the_process_that_spools(client, calls):
    @spool
    def work(arguments):
        calls.append(arguments)

    client.run()
    function = work.name.partition(":")[2]
    client.send(CHANNEL, {"function": f"__main__:{function}", "job": "x", "values": DONE})
    client.send(CHANNEL, {"function": f"uwsgi_file_site:{function}", "job": "y", "values": DONE})
    assert len(calls) == 2


def test_a_function_that_is_nowhere_waits_for_code_that_has_it(client, calls, caplog):
    @spool
    def other(arguments): ...

    client.run()
    message = {"function": "nowhere:work", "job": "x", "values": DONE}
    Channel(CHANNEL).send_later(message, delay=0, every=FREQUENCY, id="x")
    client.run()
    assert "no function nowhere:work is decorated with @spool here" in caplog.text
    assert left(client) == 1

    spool_named(calls)
    client.clock.advance(FREQUENCY)
    assert len(calls) == 1
    assert left(client) == 0


def spool_named(calls: list[Any]) -> None:
    """Decorate a function that is `nowhere:work`."""

    def work(arguments):
        calls.append(arguments)

    work.__module__, work.__qualname__ = "nowhere", "work"
    spool(work)


def test_without_a_decorated_function_nobody_receives():
    assert CHANNEL not in Bridge(answers("200 OK")).router.channels
