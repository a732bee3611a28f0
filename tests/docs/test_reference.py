"""The tables of the reference name what the code has: no more, and no less."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from wsgi_bridge import exceptions, messages
from wsgi_bridge.layers.base import DEFAULT_CAPACITY
from wsgi_bridge.layers.statistics import RATE_WINDOW, Statistics
from wsgi_bridge.route_statistics import RouteStatistics
from wsgi_bridge.server.server import Counters

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def section(page: str, title: str) -> str:
    """Return the text under a heading of the second level."""
    text = (REFERENCE / page).read_text()
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found is not None, title
    return found[1]


def first_cells(text: str) -> set[str]:
    """Return the names in the first column of the tables of a text."""
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_count_of_the_server_and_the_layer_is_explained() -> None:
    text = (REFERENCE / "statistics.md").read_text()
    counted = {each.name for each in fields(Counters)} | set(Statistics.__annotations__)
    of_routes = {*RouteStatistics("", ()).figures(), "queue_age"}
    assert first_cells(text) - {"layer", "routes"} == counted | of_routes | {"consumers"}


def test_rates_are_over_the_seconds_that_the_page_says() -> None:
    assert RATE_WINDOW == 5


@pytest.mark.parametrize(
    ("title", "kind"),
    [("http.request", messages.HttpRequest), ("websocket.connect", messages.WebsocketConnect)],
)
def test_a_table_of_a_message_has_its_keys(title: str, kind: type) -> None:
    keys = kind.__required_keys__ | kind.__optional_keys__
    assert first_cells(section("messages.md", title)) == keys


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("http.disconnect", messages.HttpDisconnect),
        ("websocket.receive", messages.WebsocketReceive),
        ("websocket.disconnect", messages.WebsocketDisconnect),
        ("Answers to a WebSocket", messages.WebsocketAnswer),
        ("Keys between server and worker", messages.BodyWindow),
        ("Keys between server and worker", messages.ResponseFlow),
    ],
)
def test_the_keys_of_a_message_are_named(title: str, kind: type) -> None:
    named = set(re.findall(r"[`\"](\w+)", section("messages.md", title)))
    assert (kind.__required_keys__ | kind.__optional_keys__) - {"ack"} <= named


def test_every_exception_of_the_tree_is_public() -> None:
    raised = {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and issubclass(value, exceptions.BridgeError)
    }
    assert raised == set(exceptions.__all__)


def test_the_capacity_is_the_one_of_the_promise() -> None:
    promise = (REFERENCE.parent / "topics" / "full-queues.md").read_text()
    assert f"`capacity={DEFAULT_CAPACITY}`" in promise
