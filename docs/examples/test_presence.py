"""Tests of presence.py: the grace passes in no time."""

import pytest
from presence import application

from wsgi_bridge.testing import Client


# start: test
@pytest.fixture
def ada():
    with Client(application) as client:
        client.post("/sign-in/ada")
        yield client


def test_two_tabs_and_a_reload_are_one_visit(ada):
    bob = ada.visitor()
    bob.post("/sign-in/bob")
    socket = bob.websocket("/rooms/lobby")
    assert socket.receive_json()["joined"] == "bob"

    tabs = [ada.websocket("/rooms/lobby") for _ in range(2)]
    assert socket.receive_json()["joined"] == "ada"
    for tab in tabs:
        tab.close()
    tab = ada.websocket("/rooms/lobby")
    ada.clock.advance(3600)
    assert socket.receive_nothing()
    assert ada.get("/rooms/lobby/people").json() == ["bob", "ada"]

    tab.close()
    ada.clock.advance(15)
    assert socket.receive_json()["left"] == "ada"


# end: test
