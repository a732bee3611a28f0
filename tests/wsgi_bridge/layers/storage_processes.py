"""What the storage of a shared layer promises when processes are killed, for any such layer.

Inherit StorageProcesses, with a fixture `url` that names an empty layer.
"""

import contextlib
import os
import random
import subprocess
import sys
import time

import pytest

from wsgi_bridge.layers import open_layer

PATIENCE = 20

#: Seconds in which a will is executed, and one more for a busy machine.
SOON = 3.0


class StorageProcesses:
    @pytest.fixture
    def layer(self, url):
        with contextlib.closing(open_layer(url)) as layer:
            yield layer

    @pytest.fixture
    def start(self, url):
        """Start a process of storage_child.py; all are ended after the test."""
        children = []

        def start(task, *arguments):
            command = [sys.executable, "-m", "tests.wsgi_bridge.layers.storage_child", task, url]
            child = subprocess.Popen(
                [*command, *map(str, arguments)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            children.append(child)
            assert child.stdout.readline() == "ready\n"
            return child

        yield start
        for child in children:
            kill(child)
            child.stdin.close()
            child.stdout.close()

    # Wills.

    @pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "closed"])
    def test_the_wills_of_a_process_that_ends_are_executed_once(self, layer, start, is_killed):
        """Each of those that were not revoked, by one of several that notice."""
        others = [start("leave", f"other.{number}!", 1) for number in range(2)]
        with layer.listen(["gone!"], int):
            child = start("leave", "dead!", 5)
            assert layer.receive(["gone", "wrong"]) == (None, None)
            if is_killed:
                kill(child)
            else:
                child.communicate("end\n")
            for reader in ("gone", "gone!"):
                found = receive(layer, reader, 5, SOON)
                assert sorted(message["n"] for message in found) == list(range(5))
            assert not any(other.poll() for other in others)
            time.sleep(1.2)  # another sweep of all
            assert layer.receive_many(["gone", "gone!", "wrong"], 10) == []

    def test_a_will_is_executed_whether_or_not_there_is_room(self, layer, start, url):
        """It took its room when it was written: a disconnection must not be lost."""
        with layer.listen(["here!"], int):
            kill(start("leave", "dead!", 250))
            deadline = time.monotonic() + PATIENCE
            while layer.channel_statistics("gone")["messages_pending"] < 250:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert len(receive(layer, "gone", 250, SOON)) == 250

    def test_a_process_that_comes_later_executes_what_was_left(self, start, url):
        """Nobody was there when it died."""
        kill(start("leave", "dead!", 5))
        with contextlib.closing(open_layer(url)) as layer, layer.listen(["here!"], int):
            found = receive(layer, "gone", 5, PATIENCE)
            assert sorted(message["n"] for message in found) == list(range(5))

    # Values.

    def test_values_of_a_killed_process_end(self, start, url):
        """`expiry` seconds after it was noticed, and not before."""
        with contextlib.closing(open_layer(url, expiry=1.0)) as layer:
            child = start("leave", "dead!", 3)
            layer.storage.save("dead!mine", {}, ttl=1000, owner="dead!x")
            with layer.listen(["here!"], int):
                kill(child)
                receive(layer, "gone", 3, SOON)
                assert layer.storage.load("dead!mine").value == {}
                until(lambda: layer.storage.load("dead!mine").value is None)
            assert layer.storage.load("dead!0").value == {"n": 0}  # of 60 seconds

    # Scheduled messages.

    def test_what_is_scheduled_outlives_all_processes(self, start, url):
        """Whoever comes next releases it."""
        start("schedule", 3).wait()
        with contextlib.closing(open_layer(url)) as layer:
            until(lambda: layer.storage.release_due() == (0, None))
            assert len(receive(layer, "due", 3, PATIENCE)) == 3

    @pytest.mark.slow
    def test_each_is_released_once_whoever_is_killed(self, start, url):
        """By processes that are killed at any instruction."""
        chance = random.Random(4)
        children = [start("release") for _ in range(3)]
        with contextlib.closing(open_layer(url, capacity=10_000)) as layer:
            now = time.time()
            for number in range(400):
                layer.storage.schedule("due", {"n": number}, now + chance.random() * 4)
            while time.time() < now + 4:
                time.sleep(chance.random() * 0.2)
                kill(children.pop(0))
                children.append(start("release"))
            until(lambda: layer.storage.release_due() == (0, None))
            found = receive(layer, "due", 400, PATIENCE)
            assert sorted(message["n"] for message in found) == list(range(400))
            assert layer.receive(["due"]) == (None, None)

    # Logs.

    @pytest.mark.slow
    def test_the_order_is_that_of_the_log_whoever_is_killed(self, start, url):
        """Every member gets every message, in the order of the log."""
        chance = random.Random(4)
        with contextlib.closing(open_layer(url, capacity=100_000)) as layer:
            readers = ("here!", "there!", "plain")
            for reader in readers:
                layer.receive([reader])  # a reader that is nobody's would go with the children
                layer.group_add("group", f"{reader}x" if "!" in reader else reader)
            children = [start("send", number) for number in range(3)]
            for number in range(3, 8):
                time.sleep(chance.random() * 0.2)
                kill(children.pop(0))
                children.append(start("send", number))
            for child in children:
                kill(child)
            last = layer.storage.send_group("group", {"last": True}, keep=100_000, ttl=60)
            logged = layer.storage.read("group", last.epoch, limit=100_000).messages
            assert logged is not None
            for reader in readers:
                found = receive(layer, reader, last.offset, PATIENCE)
                assert [message.pop("offset") for message in found] == list(
                    range(1, last.offset + 1)
                )
                assert {message.pop("epoch") for message in found} == {last.epoch}
                assert found == logged


def kill(child):
    child.kill()
    child.wait()


def until(condition):
    """Wait for a condition."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s"
        time.sleep(0.01)


def receive(layer, reader, count, seconds):
    """Return that many messages of a reader; fewer if they do not come in time."""
    end = time.monotonic() + seconds
    found = []
    while len(found) < count and (left := end - time.monotonic()) > 0:
        found += [message for _, message in layer.receive_many([reader], 1000, left)]
    return found
