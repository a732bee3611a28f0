"""The tables of the reference name what the code has: no more, and no less."""

from __future__ import annotations

import argparse
import configparser
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from wsgi_bridge import exceptions, messages
from wsgi_bridge.commands import COMMANDS, main, make_parser
from wsgi_bridge.commands.layer import ACTIONS
from wsgi_bridge.commands.layer.acts import DEFAULT_COUNT
from wsgi_bridge.commands.layer.looks import channel_table
from wsgi_bridge.commands.top import DEFAULT_INTERVAL, DEFAULT_LIMIT
from wsgi_bridge.commands.top.screen import PROCESS_COLUMNS
from wsgi_bridge.layers.base import DEFAULT_CAPACITY
from wsgi_bridge.layers.statistics import RATE_WINDOW, Statistics
from wsgi_bridge.processes.options import DEFAULT_THREADS
from wsgi_bridge.processes.supervisor import SUPERVISED
from wsgi_bridge.releaser import DelayFigures
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
    of_delays = {each.name for each in fields(DelayFigures)}
    told = first_cells(text) - {"layer", "routes", "all_routes", "delays"}
    assert told == counted | of_routes | of_delays | {"consumers"}


def test_rates_are_over_the_seconds_that_the_page_says() -> None:
    assert RATE_WINDOW == 5


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("http.request", messages.HttpRequest),
        ("websocket.connect", messages.WebsocketConnect),
        ("asgi.delay", messages.Delay),
    ],
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
    assert (kind.__required_keys__ | kind.__optional_keys__) - {"ack", "window"} <= named


def test_every_exception_of_the_tree_is_public() -> None:
    raised = {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and issubclass(value, exceptions.BridgeError)
    }
    assert raised == set(exceptions.__all__)


def parsers(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command with its parser, those inside of it too."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from parsers(inner, word)


PARSERS = dict(parsers(make_parser()))
LAYER_ACTIONS = set(PARSERS) - {"", *(command.NAME for command in COMMANDS)}


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Return the long options of a parser."""
    return {word for word in parser._option_string_actions if word.startswith("--")}


def told_options(text: str) -> set[str]:
    """Return the options in the first column of the tables of a text."""
    return set(re.findall(r"^\| `(--[\w-]+)`", text, re.MULTILINE))


def test_every_action_of_the_layer_command_has_a_section() -> None:
    titles = re.findall(r"^### (\w+)$", (REFERENCE / "command.md").read_text(), re.MULTILINE)
    assert set(titles) == LAYER_ACTIONS == set(ACTIONS)


@pytest.mark.parametrize("action", sorted(LAYER_ACTIONS))
def test_the_options_of_an_action_are_those_of_its_help(action: str) -> None:
    about_layers, *sections = re.split(
        r"^### ", section("command.md", "wsgi-bridge layer"), flags=re.MULTILINE
    )
    [mine] = [text for text in sections if text.startswith(f"{action}\n")]
    assert told_options(mine) | told_options(about_layers) == options(PARSERS[action])


def test_the_options_of_the_worker_are_those_of_its_help() -> None:
    told = section("command.md", "wsgi-bridge worker")
    assert told_options(told) == options(PARSERS["worker"])
    for name, default in (("threads", DEFAULT_THREADS), ("graceful-timeout", 30)):
        assert re.search(rf"^\| `--{name}`.*\b{default} unless told", told, re.MULTILINE)
        assert PARSERS["worker"].get_default(name.replace("-", "_")) == default


def test_the_options_of_top_are_those_of_its_help() -> None:
    told = section("command.md", "wsgi-bridge top")
    assert told_options(told) == options(PARSERS["top"])
    for name, default in (("interval", DEFAULT_INTERVAL), ("limit", DEFAULT_LIMIT)):
        assert re.search(rf"^\| `--{name}`.*\b{default:g} unless told", told, re.MULTILINE)


def test_the_columns_of_top_are_explained() -> None:
    told = section("command.md", "wsgi-bridge top")
    rows = re.findall(r"^\| ([^`|]+) \| `[^|]+` \|", told, re.MULTILINE)
    assert [name for row in rows for name in row.split(", ")] == list(PROCESS_COLUMNS)


def test_the_systemd_unit_starts_a_worker() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(REFERENCE.parent / "examples" / "wsgi-bridge-worker.service")
    program, *words = unit["Service"]["ExecStart"].split()
    assert Path(program).name == "wsgi-bridge"
    arguments = make_parser().parse_args(words)
    assert arguments.graceful_timeout < float(unit["Service"]["TimeoutStopSec"])


def test_the_signals_of_the_worker_are_explained() -> None:
    told = re.findall(r"\b[A-Z]{3,4}[0-9]?\b", section("command.md", "wsgi-bridge worker"))
    handled = {number.name.removeprefix("SIG") for number in SUPERVISED}
    assert handled - {"CHLD"} <= set(told)


def test_the_options_of_the_command_are_those_of_its_help() -> None:
    head = (REFERENCE / "command.md").read_text().partition("\n## ")[0]
    assert told_options(head) == options(PARSERS[""])


def test_the_columns_of_the_channels_are_explained() -> None:
    told = re.findall(r"^\| (\w+) \|", section("command.md", "wsgi-bridge layer"), re.MULTILINE)
    assert [name for name in told if name not in ("option", "column", "URL")] == list(
        channel_table([]).columns
    )


def test_the_count_of_a_ping_is_the_one_of_the_page() -> None:
    assert (
        f"messages to send, {DEFAULT_COUNT} unless told" in (REFERENCE / "command.md").read_text()
    )


def test_the_console_script_is_the_command() -> None:
    config = configparser.ConfigParser()
    config.read(REFERENCE.parents[1] / "setup.cfg")
    name, _, target = config["options.entry_points"]["console_scripts"].strip().partition(" = ")
    assert (name, target) == ("wsgi-bridge", f"{main.__module__}:{main.__name__}")


def test_the_capacity_is_the_one_of_the_promise() -> None:
    promise = (REFERENCE.parent / "topics" / "full-queues.md").read_text()
    assert f"`capacity={DEFAULT_CAPACITY}`" in promise
