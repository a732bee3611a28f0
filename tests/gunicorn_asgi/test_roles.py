"""Roles under a model of gunicorn's arbiter: who is made, and who is stopped."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field

import pytest

from gunicorn_asgi.roles import CONSUMER, SERVER, STAND_IN, Roles, find_server_count
from wsgi_bridge.processes.attendance import Presence


class Tmp:
    """A worker's temporary file."""

    closed = False

    def fileno(self):
        if self.closed:
            raise ValueError("closed")
        return 3


@dataclass(eq=False)
class Worker:
    age: int
    role: str = ""
    tmp: Tmp = field(default_factory=Tmp)
    is_dead: bool = False


class Arbiter:
    """What gunicorn's arbiter does with its workers; `asked` is the setting `servers`."""

    def __init__(self, workers, asked=0):
        self.configured, self.asked = workers, asked
        self.roles = Roles()
        self.workers = []
        self.last_age = 0
        self.read_configuration()
        self.settle()

    def read_configuration(self):
        self.roles.begin_generation()
        self.number = self.configured

    def spawn(self):
        self.last_age += 1
        worker = Worker(self.last_age)
        worker.role = self.roles.choose(worker.age, find_server_count(self.configured, self.asked))
        if worker.role == SERVER:
            self.roles.add_server(worker)
        worker.is_dead = worker.role == STAND_IN
        self.workers.append(worker)

    def manage(self):
        while len(self.workers) < self.number:
            self.spawn()
        by_age = sorted(self.workers, key=lambda worker: worker.age)
        for worker in by_age[: max(0, len(by_age) - self.number)]:
            worker.is_dead = True

    def reap(self):
        for worker in [worker for worker in self.workers if worker.is_dead]:
            self.workers.remove(worker)
            worker.tmp.closed = True

    def settle(self):
        for _ in range(3):
            self.manage()
            self.reap()

    def reload(self, workers=None, asked=None):
        self.configured = workers or self.configured
        self.asked = self.asked if asked is None else asked
        self.read_configuration()
        for _ in range(self.number):
            self.spawn()
        self.settle()

    def add(self, number):
        """TTIN or TTOU."""
        self.number = max(1, self.number + number)
        self.settle()

    def of(self, role):
        return [worker for worker in self.workers if worker.role == role]


@pytest.mark.parametrize(
    ("workers", "asked", "servers"),
    [(2, 0, 1), (5, 0, 1), (8, 0, 2), (16, 0, 4), (5, 3, 3), (5, 9, 4), (1, 0, 1)],
)
def test_one_worker_in_four_is_a_server_unless_told(workers, asked, servers):
    assert find_server_count(workers, asked) == servers
    if workers > 1:
        arbiter = Arbiter(workers, asked)
        assert len(arbiter.of(SERVER)) == servers
        assert len(arbiter.of(CONSUMER)) == workers - servers


def test_a_reload_replaces_every_consumer_and_no_server():
    arbiter = Arbiter(8)
    servers, consumers = arbiter.of(SERVER), arbiter.of(CONSUMER)
    for _ in range(5):
        arbiter.reload()
        assert arbiter.of(SERVER) == servers
        assert len(arbiter.of(CONSUMER)) == 6
        assert not set(arbiter.of(CONSUMER)) & set(consumers)
        consumers = arbiter.of(CONSUMER)


@pytest.mark.parametrize("role", [SERVER, CONSUMER])
def test_who_dies_is_replaced_by_one_of_the_same_kind(role):
    arbiter = Arbiter(8)
    victim = arbiter.of(role)[0]
    victim.is_dead = True
    arbiter.reap()
    arbiter.settle()
    assert (len(arbiter.of(SERVER)), len(arbiter.of(CONSUMER))) == (2, 6)
    assert victim not in arbiter.workers


def test_fewer_workers_are_fewer_consumers():
    arbiter = Arbiter(5)
    servers = arbiter.of(SERVER)
    arbiter.add(2)
    arbiter.add(-4)
    assert arbiter.of(SERVER) == servers
    assert len(arbiter.of(CONSUMER)) == 2


def test_a_reload_with_other_numbers_makes_as_many_as_it_says():
    arbiter = Arbiter(8)
    arbiter.reload(workers=5)
    assert (len(arbiter.of(SERVER)), len(arbiter.of(CONSUMER))) == (1, 4)
    arbiter.reload(asked=3)
    assert (len(arbiter.of(SERVER)), len(arbiter.of(CONSUMER))) == (3, 2)
    arbiter.reload(workers=12, asked=0)
    assert (len(arbiter.of(SERVER)), len(arbiter.of(CONSUMER))) == (3, 9)


@pytest.mark.parametrize("seed", range(100))
def test_whatever_happens_the_roles_are_filled(seed):
    chance = random.Random(seed)
    arbiter = Arbiter(chance.randint(2, 12))
    for _ in range(30):
        what = chance.choice(("reload", "resize", "add", "kill", "kill and reload"))
        servers = arbiter.of(SERVER)
        victims = chance.sample(arbiter.workers, chance.randint(0, len(arbiter.workers)))
        if what.startswith("kill"):
            for victim in victims:
                victim.is_dead = True
        if what == "add":
            arbiter.add(chance.choice((1, -1)) if arbiter.number > 4 else 1)
        elif what == "resize":
            arbiter.reload(workers=chance.randint(2, 12))
        elif what != "kill":
            arbiter.reload()
        arbiter.settle()
        wanted = find_server_count(arbiter.configured, 0)
        assert len(arbiter.workers) == arbiter.number
        assert len(arbiter.of(SERVER)) == min(wanted, arbiter.number), what
        if what in ("reload", "add"):
            assert arbiter.of(SERVER) == servers


# Presence: each process has its own lock, so these fork.


def ask(presence, method):
    """Return what a method says in a process of its own, which ends then."""
    return in_child(lambda: getattr(presence, method)())


def in_child(function):
    pid = os.fork()
    if not pid:
        os._exit(int(bool(function())))
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 1


def test_servers_are_present_together_until_each_has_ended():
    presence = Presence()
    assert ask(presence, "enter")
    assert ask(presence, "is_left")
    assert presence.enter()
    assert ask(presence, "enter")
    assert not ask(presence, "is_left")
    assert not ask(presence, "claim_desertion")


def test_a_server_that_retires_is_there_still():
    presence = Presence()
    presence.enter()
    assert not ask(presence, "is_retired")
    presence.retire()
    assert ask(presence, "is_retired")
    assert not ask(presence, "is_left")


def test_only_one_makes_room_for_a_server():
    presence = Presence()
    assert presence.claim_desertion()
    assert not ask(presence, "claim_desertion")
    assert not ask(presence, "enter")


def test_the_generation_is_seen_by_those_made_before():
    roles = Roles()
    presence = roles.presence
    assert presence.generation == 0
    for number in range(1, 12):
        roles.begin_generation()
        assert roles.presence is presence
        assert presence.generation == number
        assert in_child(lambda: presence.generation == number)  # noqa: B023
