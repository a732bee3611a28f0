"""`wsgi-bridge top`: what is made of the reports of processes, and how it is shown."""

from __future__ import annotations

import contextlib
import json
from dataclasses import fields

import pytest

from tests.wsgi_bridge.commands import rig
from tests.wsgi_bridge.commands.rig import call, call_json, run, run_on_terminal, watching
from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis
from wsgi_bridge import open_layer
from wsgi_bridge.commands import main, opening, top
from wsgi_bridge.commands.errors import CommandError
from wsgi_bridge.commands.tables import Table
from wsgi_bridge.commands.top import Look, summary
from wsgi_bridge.commands.top.rates import Change, Rates, add_rows, percentile_of_row
from wsgi_bridge.commands.top.screen import PROCESS_COLUMNS, Screen
from wsgi_bridge.exceptions import ChannelLayerUnavailable
from wsgi_bridge.figures import FiguresReporter, ProcessFigures
from wsgi_bridge.figures.trees import Taken
from wsgi_bridge.server.server import Counters

#: Seconds between two reports: the tests say when, and nobody waits for one.
EVERY = 3600.0
#: The same for a process that publishes by itself. It counts as dead after eight of them.
BRIEF = 1.0
ROUTE = "websocket.receive path='^/echo$' -> echo"

WITHOUT_RICH = (
    rig.COMMAND[0],
    "-c",
    "import sys; sys.modules['rich'] = None\n"
    "from wsgi_bridge.commands import main; sys.exit(main())",
)


class Clock:
    """The time of a layer, which a test moves."""

    now = 1_000_000.0

    def __call__(self):
        return self.now


class Process:
    """One process of a site, as far as it publishes figures."""

    def __init__(self, layer, role="both", every=EVERY):
        self.requests = self.failures = self.received = 0
        self.reporter = FiguresReporter(layer, self.take, role=role, every=every)

    def take(self):
        counts = {
            "requests_count": self.requests,
            "websocket_connects_count": 4,
            "websocket_messages_count": self.received,
            "websocket_sent_count": self.received,
            "websocket_answers_count": self.received,
            "refused_full_count": 1,
            "invalid_requests_count": 2,
            "late_requests_count": 3,
            "silent_clients_count": 4,
            # All between 0.5 and 1 ms.
            "answers": {"2": [0, 0, self.requests - self.failures], "5": [0, 0, self.failures]},
            "routes": {
                ROUTE: {"count": self.received, "errors": 1, "timeouts": 0, "retries": 0},
                "never": {"count": 0, "errors": 0, "timeouts": 0, "retries": 0},
            },
            "layer": {"messages_count": self.received},
        }
        gauges = {
            "connections": 5,
            "websockets": 4,
            "consumers": 1,
            "layer": {"messages_pending": 2, "messages_max_age": 0.5},
        }
        return Taken(counts, gauges)

    def report(self):
        self.reporter.report()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def layer(tmp_path, clock):
    layer = open_layer(f"ipc://{tmp_path}/layer", clock=clock)
    yield layer
    layer.close()


def look_at(layer, **options):
    return Look(layer, "ipc://x", 10, sleep=lambda _: None, **options)


def published(name, reported, count):
    return ProcessFigures(name, 1, "h", "both", 0.0, reported, EVERY, {"requests_count": count}, {})


def test_a_rate_is_from_one_report_to_the_next_however_often_one_looks():
    rates = Rates()
    rates.take([published("a", 10.0, 100)])
    assert rates.of(published("a", 10.0, 100)) is None
    for _ in range(3):
        rates.take([published("a", 14.0, 140)])
        assert rates.of(published("a", 14.0, 140)).rate("requests_count") == 10.0
    rates.take([published("a", 16.0, 140)])
    assert rates.of(published("a", 16.0, 140)).rate("requests_count") == 0.0


def test_who_has_gone_has_no_rate_and_need_not_be_waited_for():
    rates = Rates()
    rates.take([published("a", 1.0, 1), published("b", 1.0, 1)])
    rates.take([published("a", 2.0, 1), published("b", 2.0, 1)])
    assert len(rates.all()) == 2
    rates.take([published("a", 3.0, 1), published("c", 3.0, 1)])
    assert len(rates.all()) == 1
    assert rates.has_all({"a", "b"})
    assert not rates.has_all({"c"})


@pytest.mark.parametrize(
    ("row", "part", "seconds"),
    [
        ([], 0.5, None),
        ([0, 0], 0.5, None),
        ([4], 0.5, 0.000125),
        ([0, 10], 1.0, 0.0005),
        ([0, 10], 0.5, 0.000375),
        ([99, 0, 0, 1], 0.99, 0.00025),
        ([99, 0, 0, 1], 1.0, 0.002),
        ([0, 0, 100], 0.99, 0.000995),
    ],
)
def test_a_percentile_is_read_within_its_bucket(row, part, seconds):
    assert percentile_of_row(row, part) == (seconds and pytest.approx(seconds))


def test_histograms_of_different_lengths_are_added_up():
    assert add_rows([[1, 2], [1], []]) == [2, 2]
    assert add_rows([]) == []
    change = Change(1.0, {"answers": {"2": [1], "5": [0, 2]}})
    assert (change.answers(), change.answers("5")) == ([1, 2], [0, 2])


def test_what_processes_publish_is_shown_of_each_and_of_all(layer, clock):
    first, second = Process(layer, "server"), Process(layer, "consumers")
    look = look_at(layer)
    for process in (first, second):
        process.report()
    look()
    clock.now += 10
    first.requests, first.failures, first.received = 100, 10, 50
    layer.send("jobs", {})
    for process in (first, second):
        process.report()
    screen, value = look()
    total = value["total"]
    assert (total["processes"], total["starts"], total["losses"]) == (2, 2, 0)
    assert (total["connections"], total["websockets"], total["consumers"]) == (10, 8, 2)
    assert (total["requests_per_second"], total["errors_per_second"]) == (10.0, 1.0)
    assert (total["received_per_second"], total["sent_per_second"]) == (5.0, 10.0)
    assert (total["refused_count"], total["late_count"], total["lost_count"]) == (6, 6, 8)
    assert total["time_p50"] == pytest.approx(0.00075)
    one, other = value["processes"]
    assert (one["role"], one["requests_per_second"]) == ("server", 10.0)
    assert (other["role"], other["requests_per_second"], other["time_p50"]) == (
        "consumers",
        0.0,
        None,
    )
    assert (value["queues"]["messages_pending"], value["queues"]["messages_max_age"]) == (5, 0.5)
    assert [each["channel"] for each in value["channels"]] == ["jobs"]
    [route] = value["routes"]
    assert (route["route"], route["runs_per_second"], route["errors"]) == (ROUTE, 5.0, 2)
    assert "2 processes, 2 started so far, 0 died" in screen.plain()
    json.dumps(value)


def test_the_screen_has_the_figures_in_their_columns(layer, clock):
    process, look = Process(layer), look_at(layer)
    process.report()
    look()
    clock.now += 2
    process.requests = process.received = 20
    process.report()
    lines = look()[0].plain().splitlines()
    assert lines[2].split("  ")[0] == "PROCESS"
    assert len(lines[3].split()) == len(PROCESS_COLUMNS)
    assert lines[3].split()[1:] == [
        *("both", lines[3].split()[2], "5", "4", "1", "10.0", "0.0", "0.75", "0.99"),
        *("10.0", "20.0", "3", "3", "4"),
    ]
    assert lines[4].split()[:4] == ["all", "5", "4", "1"]
    [queues] = [line for line in lines if line.startswith("all") and line is not lines[4]]
    assert queues.split()[:2] == ["all", "2"]
    assert any(line.startswith(ROUTE) and " 10.0 " in line for line in lines)


def test_before_the_second_report_a_rate_is_not_known(layer):
    Process(layer).report()
    screen, value = look_at(layer)()
    assert value["total"]["requests_per_second"] is None
    assert " - " in screen.plain()


def test_of_channels_and_routes_the_first_are_shown(layer):
    Process(layer).report()
    for number in range(5):
        for _ in range(number + 1):
            layer.send(f"jobs{number}", {})
    value = Look(layer, "x", 2)()[1]
    assert [each["channel"] for each in value["channels"]] == ["jobs4", "jobs3"]
    assert value["queues"]["messages_pending"] == 17


def test_a_layer_that_goes_away_is_said_over_what_there_was(layer, monkeypatch):
    Process(layer).report()
    look = look_at(layer)
    before = look()[1]

    def unavailable():
        raise ChannelLayerUnavailable("it is gone")

    monkeypatch.setattr(layer, "global_statistics", unavailable)
    screen, value = look()
    assert value.pop("note") == "unavailable: it is gone"
    assert value == before
    assert "unavailable: it is gone" in screen.plain()
    monkeypatch.undo()
    assert "note" not in look()[1]


def test_a_site_that_publishes_nothing_is_named(layer):
    with pytest.raises(CommandError, match="figures_interval"):
        look_at(layer).begin()


def test_hosts_are_told_apart_where_there_are_several():
    process = {
        "pid": 7,
        "role": "both",
        "up": 90061.0,
        "connections": 0,
        "websockets": 0,
        "consumers": 0,
        "refused_count": 0,
        "late_count": 0,
        "lost_count": 0,
        **{f"{name}_per_second": None for name in ("requests", "errors", "received", "sent")},
        "time_p50": None,
        "time_p99": None,
    }
    value = {
        "layer": "x",
        "time": "2026-11-22T21:04:15.123Z",
        "total": {**process, "processes": 2, "starts": 2, "losses": 0},
        "processes": [{**process, "host": "a"}, {**process, "host": "b", "up": 61.0}],
        "queues": dict.fromkeys(("messages_pending", "messages_count_per_second"), 0)
        | {"messages_max_age": 0.0, "channel_full_count": 0, "messages_expired_count": 0}
        | {"group_messages_lost_count": 0},
        "channels": [],
        "routes": [],
    }
    lines = Screen(value).plain().splitlines()
    assert lines[3].split()[:3] == ["a:7", "both", "1d01h"]
    assert lines[4].split()[:3] == ["b:7", "both", "1m01"]


# The command itself, on layers that other processes could open.


@pytest.fixture(params=["ipc", "redis"])
def url(request, tmp_path):
    if request.param == "ipc":
        yield f"ipc://{tmp_path}/layer"
        return
    need_redis()
    with RedisServer("requirepass s3cret") as server:
        yield f"redis://:s3cret@127.0.0.1:{server.port}"


@pytest.fixture
def site(url):
    """A process that publishes."""
    layer = open_layer(url)
    process = Process(layer, every=BRIEF)
    process.report()
    process.reporter.start()
    yield url
    process.reporter.stop(rig.PATIENCE)
    layer.close()


def test_once_is_one_look_with_each_process(site):
    value = call_json("top", site, "--once")
    assert [each["role"] for each in value["processes"]] == ["both"]
    assert value["total"]["connections"] == 5
    assert "s3cret" not in json.dumps(value)


def test_the_layer_is_the_environments_unless_named(site):
    assert call_json("top", "--once", CHANNEL_LAYER=site)["total"]["websockets"] == 4


def test_on_a_terminal_it_is_drawn_and_in_a_pipe_it_is_text(site):
    assert "PROCESS" in call("top", site, "--once")
    status, shown = run_on_terminal("top", site, "--once")
    assert (status, "\x1b[1mprocess" in shown) == (0, True)
    status, shown = run_on_terminal("top", site, "--once", command=WITHOUT_RICH)
    assert (status, "PROCESS" in shown) == (0, True)


@pytest.mark.parametrize("command", [rig.COMMAND, WITHOUT_RICH], ids=["rich", "plain"])
def test_it_goes_on_until_ctrl_c(site, command):
    with watching("top", site, "--interval", "0.05", command=command) as terminal:
        terminal.wait_for("1 process", count=3)
        assert terminal.interrupt() == 0


def make_layers(folder, *names):
    """Return the URLs of some layers, each of which was used."""
    urls = [f"ipc://{folder}/{name}" for name in names]
    for url in urls:
        with contextlib.closing(open_layer(url)) as layer:
            layer.send("a", {})
    return urls


@pytest.mark.parametrize("named", ["", "ipc://"])
def test_without_a_name_the_only_site_of_a_user_is_meant(site, tmp_path, monkeypatch, named):
    urls = [*make_layers(tmp_path, "one", "two"), site]
    monkeypatch.setattr(top, "urls_of_ipc", lambda: urls)
    assert call_json("top", *filter(None, [named]), "--once")["total"]["processes"] == 1


def test_where_there_are_several_sites_they_are_named(site, monkeypatch, capsys):
    monkeypatch.setattr(top, "urls_of_ipc", lambda: [site, site])
    assert main(["top", "--once"]) == 2
    assert capsys.readouterr().err.count(opening.public_url(site)) == 2


def test_where_there_is_no_site_it_is_said(tmp_path, monkeypatch, capsys):
    urls = make_layers(tmp_path, "one")
    monkeypatch.setattr(top, "urls_of_ipc", lambda: urls)
    assert main(["top", "--once"]) == 2
    assert "no site of this user publishes on an ipc layer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (("memory://",), 2, "Bridge.statistics"),
        (("ipc:///nowhere/at/all",), 1, "there is no ipc layer"),
        (("--interval", "0"), 2, "expected more than 0"),
        (("--limit", "0"), 2, "expected 1 or more"),
    ],
)
def test_what_cannot_be_shown_is_one_line(words, status, text):
    done = run("top", *words, "--once")
    assert (done.returncode, done.stdout) == (status, "")
    assert text in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_layer_without_a_site_is_told_so(tmp_path):
    url = f"ipc://{tmp_path}/layer"
    with contextlib.closing(open_layer(url)) as layer:
        layer.send("a", {})
        done = run("top", url, "--once")
    assert done.returncode == 1
    assert "no process publishes figures on" in done.stderr


def test_a_table_may_be_drawn_without_borders():
    from rich.console import Console

    console = Console(width=20, record=True)
    console.print(Table(["name", "n"], [["x" * 40, "1"]]).rich(is_compact=True))
    assert "…" in console.export_text()


def test_the_counts_that_are_added_up_are_those_of_servers():
    counted = {each.name for each in fields(Counters)}
    assert {*summary.REFUSED, *summary.LATE, *summary.LOST, *summary.SENT} <= counted
    refused = {name for name in counted if name.startswith(("refused_", "invalid_requests"))}
    assert refused == set(summary.REFUSED)
    assert {name for name in counted if name.startswith("late_")} == set(summary.LATE)
