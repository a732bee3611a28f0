"""What the layer does where nobody may wait: in the hub of gevent, in a process of its own."""

import subprocess
import sys

import pytest

pytest.importorskip("gevent")

PROGRAM = """
import sys
from gevent import monkey
monkey.patch_all()
import gevent, time
from wsgi_bridge.exceptions import ChannelFull
from wsgi_bridge.layers import open_layer
layer = open_layer(sys.argv[1], prefix=sys.argv[2], capacity=3)
outcomes = []

def in_hub(function, *arguments):
    done = gevent.event.Event()
    def run():
        try:
            outcomes.append(function(*arguments))
        except Exception as exc:
            outcomes.append(type(exc).__name__)
        done.set()
    gevent.get_hub().loop.run_callback(run)
    done.wait(5)

def until(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, outcomes
        time.sleep(0.01)

"""

CASES = {
    "a_message_is_sent_by_another_greenlet": """
in_hub(layer.send, "a", {"n": 1})
in_hub(layer.hand_over, "a", {"n": 2})
assert outcomes == [None, None], outcomes
assert [layer.receive(["a"], True, 5)[1]["n"] for _ in range(2)] == [1, 2]
""",
    "a_channel_that_was_found_full_is_refused_for_a_moment": """
for _ in range(5):
    in_hub(layer.send, "a", {})
target = layer._target("a")
until(lambda: target.full_until)
in_hub(layer.send, "a", {})
assert outcomes[-1] == "ChannelFull", outcomes
time.sleep(0.06)
assert len(layer.receive_many(["a"], 10)) == 3
in_hub(layer.send, "a", {})
assert outcomes[-1] is None
""",
    "groups_are_changed_and_sent_to": """
in_hub(layer.group_add, "group", "p!x")
until(lambda: layer.group_channels("group") == ["p!x"])
in_hub(layer.send_group, "group", {"n": 1})
assert layer.receive(["p!"], True, 5) == ("p!x", {"n": 1})
in_hub(layer.forget_channel, "p!x")
until(lambda: layer.group_channels("group") == [])
assert outcomes == [None] * 3, outcomes
""",
    "a_listener_is_fed_and_takes_without_waiting": """
woken = gevent.event.Event()
in_hub(layer.listen, ["a", "p!"], woken.set)
layer.send("a", {"n": 1})
assert woken.wait(5)
in_hub(layer.receive_many, ["a", "p!"], 10)
assert outcomes[-1] == [("a", {"n": 1})], outcomes
in_hub(layer.receive_many, ["never.listened"], 10)
assert outcomes[-1] == []
""",
    "values_and_wills_are_kept_soon_and_in_order": """
storage = layer.storage
in_hub(lambda: storage.save("key", {"n": 1}, ttl=60))
until(lambda: storage.load("key").value == {"n": 1})
with layer.listen(["p!"], int):
    for name in ("p!left", "p!forgotten", "p!cleared"):
        in_hub(storage.set_will, name, [("gone", {"name": name})])
    in_hub(layer.forget_channel, "p!forgotten")
    in_hub(storage.clear_will, "p!cleared")
    assert outcomes == [True] + [None] * 5, outcomes
    until(lambda: not layer._shards[0].keeper._jobs)
    time.sleep(0.1)
    layer.close()
layer = open_layer(sys.argv[1], prefix=sys.argv[2])
assert layer.receive(["gone"], True, 5) == ("gone", {"name": "p!left"})
assert layer.receive(["gone"]) == (None, None)
""",
    "greenlets_that_are_killed_in_a_send_hold_up_nobody": """
layer = open_layer(sys.argv[1], prefix=sys.argv[2], capacity=100_000)
layer.send("a", {})
for after in (0, 0, 0.0001, 0.001, 0.002):
    senders = [gevent.spawn(layer.send, "a", {}) for _ in range(30)]
    for _ in range(2):
        gevent.sleep(after)
    gevent.killall(senders[::2])
    gevent.joinall(senders, timeout=5)
    assert all(sender.dead for sender in senders)
    for _ in range(50):  # the connection of who was killed had to be given up
        try:
            layer.send("a", {})
            break
        except Exception as exc:
            assert type(exc).__name__ == "ChannelLayerUnavailable"
    else:
        raise AssertionError("nothing goes through any more")
""",
    "all_sends_of_a_tick_are_few_calls": """
layer = open_layer(sys.argv[1], prefix=sys.argv[2], capacity=1000)
layer.send("a", {})
calls = []
link = layer._shards[0].pipe._link
exchange = link.exchange
link.exchange = lambda commands: calls.append(len(commands)) or exchange(commands)
gevent.joinall([gevent.spawn(layer.send, "a", {"n": n}) for n in range(200)])
assert sum(calls) <= 4, calls
received = []
while len(received) < 201:
    received += layer.receive_many(["a"], 300)
assert [message["n"] for _, message in received[1:]] == list(range(200))
""",
}


@pytest.mark.parametrize("case", CASES)
def test_in_the_hub(case, shared_server):
    program = PROGRAM + CASES[case] + "\nlayer.close()\nprint('done')\n"
    ran = subprocess.run(
        [sys.executable, "-c", program, shared_server.url, f"hub.{case}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.stdout == "done\n", ran.stdout + ran.stderr
    assert "BlockingSwitchOutError" not in ran.stderr
