"""The ipc layer between processes: what one that is killed leaves, audits of loss, wakes."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from wsgi_bridge.exceptions import ChannelFull
from wsgi_bridge.layers.ipc import IpcLayer

PATIENCE = 20


@pytest.fixture
def layer(tmp_path):
    with contextlib.closing(IpcLayer(tmp_path / "ipc", capacity=1000)) as layer:
        yield layer


@pytest.fixture
def start(layer):
    """Start a process of ipc_child.py on the layer's directory; all are ended after the test."""
    children = []

    def start(task, *arguments):
        command = [sys.executable, "-m", "tests.wsgi_bridge.layers.ipc_child", task]
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        child = subprocess.Popen(
            [*command, str(layer.directory), *map(str, arguments)],
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        child.stdout.close()


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


class TestKilledProcesses:
    def test_memberships_and_messages_are_gone_within_two_seconds(self, layer, start):
        with layer.listen(["other"], int):  # a process that listens is one that sweeps
            child = start("listen", "dead!")
            for number in range(10):
                layer.group_add("group", f"dead!{number}")
            layer.group_add("group", "alive")
            layer.send("dead!x", {})
            assert len(layer.group_channels("group")) == 11
            child.send_signal(signal.SIGKILL)
            child.wait()
            wait_until(lambda: layer.group_channels("group") == ["alive"], 2)
            assert layer.channel_statistics("dead!")["messages_pending"] == 0
            assert layer.channel_statistics("dead!")["messages_expired_count"] == 1

    def test_a_sender_finds_out_by_itself(self, layer, start):
        child = start("listen", "dead!")
        layer.group_add("group", "dead!x")
        child.kill()
        child.wait()
        layer.send_group("group", {})
        assert layer.group_channels("group") == []

    def test_its_place_is_taken_by_the_next_one(self, layer, start):
        for _ in range(3):
            child = start("listen", "dead!")
            layer.group_add("group", "dead!x")
            child.kill()
            child.wait()
        start("listen", "next!")
        assert layer.group_channels("group") == []
        names = sorted(name for name in os.listdir(layer.directory) if name.endswith(".sock"))
        assert len(names) == 1

    def test_a_stopped_process_is_not_taken_for_dead(self, layer, start):
        child = start("listen", "slow!")
        layer.group_add("group", "slow!x")
        child.send_signal(signal.SIGSTOP)
        with layer.listen(["other"], int):
            for _ in range(50):
                layer.send_group("group", {})
            time.sleep(1.2)
            assert layer.group_channels("group") == ["slow!x"]
        child.send_signal(signal.SIGCONT)

    def test_the_layer_stays_usable_whenever_one_is_killed(self, layer, start):
        chance = random.Random(7)
        children = [start("churn", seed) for seed in range(3)]
        end = time.monotonic() + 6
        seed = 3
        while time.monotonic() < end:
            time.sleep(chance.random() * 0.1)
            victim = children.pop(chance.randrange(len(children)))
            victim.kill()
            victim.wait()
            children.append(start("churn", seed))
            seed += 1
            with contextlib.suppress(ChannelFull):
                layer.send("mine", {"seed": seed})
            assert layer.receive(["mine"], True, PATIENCE) == ("mine", {"seed": seed})
            layer.global_statistics()
        for child in children:
            child.kill()
            child.wait()
        with layer.listen(["other"], int):
            wait_until(lambda: layer.group_channels("churned") == [], 3)


class TestAudits:
    def test_four_processes_receive_each_message_once(self, layer, start):
        children = [start("count", number) for number in range(4)]
        for number in range(4000):
            while True:
                try:
                    layer.send("shared", {"n": number})
                    break
                except ChannelFull:
                    time.sleep(0.001)
        wait_until(lambda: layer.channel_statistics("shared")["messages_pending"] == 0, PATIENCE)
        for number in range(4):
            layer.send(f"stop.{number}!", {})
        received = [int(n) for child in children for n in child.stdout.readline().split()]
        assert sorted(received) == list(range(4000))

    def test_a_member_that_stays_gets_every_group_message_once_and_in_order(self, layer, start):
        children = [start("members", number, 100) for number in range(2)]
        lost = 0
        for number in range(500):
            layer.send_group("audit", {"n": number})
            lost = layer.global_statistics()["group_messages_lost_count"]
            time.sleep(0.001)
        for number in range(2):
            layer.group_add("audit", f"audit.{number}!end")
        layer.send_group("audit", {"end": True})
        assert lost == 0
        for child in children:
            assert child.stdout.readline().split() == [str(number) for number in range(500)]


@pytest.mark.parametrize("kind", ["threads", "gevent", "hub", "asyncio"])
def test_whoever_waits_in_another_process_is_woken(layer, start, kind):
    child = start("echo", kind)
    for number in range(20):
        time.sleep(0.005)  # it waits by now
        layer.send("question", {"n": number})
        assert layer.receive(["answer"], True, PATIENCE) == ("answer", {"n": number})
    assert child.wait(PATIENCE) == 0


def test_a_map_that_another_process_has_made_grow_is_followed(layer, start):
    layer.send("a", {})
    start("fill", 100)
    assert layer.channel_statistics("large")["messages_pending"] == 100
    layer.send("large", {"data": b"x" * 3_000_000})
    assert len(layer.receive_many(["large"], 200)) == 101


def test_two_names_never_meet(layer, tmp_path):
    with contextlib.closing(IpcLayer(tmp_path / "other")) as other:
        layer.send("a", {})
        layer.group_add("group", "a")
        assert other.receive(["a"]) == (None, None)
        assert other.group_channels("group") == []
        other.flush()
        assert layer.receive(["a"]) == ("a", {})


def test_a_forked_child_attaches_itself(layer):
    layer.send("a", {"n": 1})
    with layer.listen(["b", "parent!"], int):
        layer.group_add("group", "parent!x")
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException):
                assert layer.receive(["a"]) == ("a", {"n": 1})
                layer.send("b", {"n": 2})
                code = 0
            os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert layer.receive(["b"], True, PATIENCE) == ("b", {"n": 2})
        time.sleep(1.2)  # a sweep: the child that ended was not the parent
        assert layer.group_channels("group") == ["parent!x"]
