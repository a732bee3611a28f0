"""`wsgi-bridge layer` on layers that another process has filled."""

import contextlib
import json
import re
import signal
import subprocess
from urllib.parse import urlsplit

import pytest

from tests.wsgi_bridge.commands import rig
from tests.wsgi_bridge.commands.rig import (
    call,
    call_json,
    call_rows,
    run,
    run_on_terminal,
    run_site,
    watching,
)
from tests.wsgi_bridge.commands.site import READER
from tests.wsgi_bridge.layers.redis.servers import RedisServer, need_redis
from wsgi_bridge import Bridge, Channel, Group, open_layer, route
from wsgi_bridge.worker import Worker


def count_a_run(url, *, fails):
    """Run a consumer, as a process does that shares the layer, and report it."""

    def work(message):
        if fails:
            raise ValueError

    with contextlib.closing(open_layer(url)) as layer:
        bridge = Bridge(lambda *_: [], [route("jobs", work)], layer=layer)
        worker = Worker(bridge, layer, lambda call: call)
        worker.run("jobs", {})
        worker.reporter.report()


WITHOUT_RICH = (
    rig.COMMAND[0],
    "-c",
    "import sys; sys.modules['rich'] = None\n"
    "from wsgi_bridge.commands import main; sys.exit(main())",
)


@pytest.fixture(scope="module")
def redis_server():
    need_redis()
    with RedisServer("requirepass s3cret") as server:
        yield server


@pytest.fixture(params=["ipc", "redis"], scope="module")
def new_url(request, tmp_path_factory):
    """Return a function that returns the URL of a layer that nobody else uses."""

    def new_url():
        folder = tmp_path_factory.mktemp("layer")
        # What a site has sent is there until the last test, however busy the machine is.
        if request.param == "ipc":
            return f"ipc://{folder}/layer?expiry=3600"
        server = request.getfixturevalue("redis_server")
        return f"redis://:s3cret@127.0.0.1:{server.port}?expiry=3600&prefix={folder.name}"

    return new_url


@pytest.fixture(scope="module")
def url(new_url):
    """Return the URL of a layer that a site has filled, for those who only look."""
    url = new_url()
    with run_site(url):
        yield url


@pytest.fixture
def own(new_url):
    """Return the URL of such a layer to be changed, and a function that ends the site."""
    url = new_url()
    with run_site(url) as finish:
        yield url, finish


class TestLooking:
    def test_the_figures_are_those_of_all_processes(self, url):
        figures = call_json("layer", url, "stats")
        assert figures["messages_pending"] == figures["messages_count"] == 4
        assert figures["channel_full_count"] == 1
        rows = dict(call_rows("layer", url, "stats"))
        assert rows["messages_pending"] == "4"
        assert rows.keys() == {"FIGURE", *figures}

    @pytest.mark.parametrize("words", [["channels"], ["groups", "--json"]], ids=" ".join)
    def test_a_process_of_its_own_prints_the_same(self, url, words):
        done = run("layer", url, *words)
        assert (done.returncode, done.stderr) == (0, "")
        ages = re.compile(r"\d+\.\d+")
        assert ages.sub("", done.stdout).split() == ages.sub("", call("layer", url, *words)).split()

    def test_stats_is_what_is_shown_of_a_layer(self, url):
        assert call_rows("layer", url)[0] == ["FIGURE", "VALUE"]
        assert call_json("layer", url)["messages_pending"] == 4

    def test_what_is_scheduled_is_told(self, own):
        url, _ = own
        figures = call_json("layer", url, "stats")
        assert (figures["scheduled_count"], figures["scheduled_next_due_in"]) == (0, None)
        assert dict(call_rows("layer", url, "stats"))["scheduled_next_due_in"] == "-"
        with contextlib.closing(open_layer(url)) as layer:
            for delay in (1000, 2000):
                Channel("jobs", layer).send_later({}, delay=delay)
        figures = call_json("layer", url, "stats")
        assert figures["scheduled_count"] == 2
        assert 0 < figures["scheduled_next_due_in"] <= 1000

    def test_what_is_scheduled_is_listed_and_cancelled(self, own):
        url, _ = own
        with contextlib.closing(open_layer(url)) as layer:
            Channel("jobs", layer).send_later({}, delay=2000, id="later")
            Group("room", layer).send_later({}, every=1000, id="soon")
        found = call_json("layer", url, "delays")
        assert [(each["channel"], each["id"], each["every"]) for each in found] == [
            ("wsgi-bridge.due", "room:soon", 1000),
            ("jobs", "later", None),
        ]
        header, first = call_rows("layer", url, "delays", "--limit", "1")
        assert header == ["CHANNEL", "ID", "DUE", "IN", "EVERY"]
        assert (first[:2], first[3]) == (["wsgi-bridge.due", "room:soon"], "1000.0")
        assert call("layer", url, "cancel", "jobs", "later") == "cancelled later for jobs\n"
        assert (
            call_json("layer", url, "cancel", "wsgi-bridge.due", "room:soon")["id"] == "room:soon"
        )
        assert call_json("layer", url, "delays") == []
        done = run("layer", url, "cancel", "jobs", "later")
        assert (done.returncode, done.stderr.count("there is no message for later for jobs")) == (
            1,
            1,
        )
        assert run("layer", url, "cancel", "a b", "later").returncode == 2

    def test_one_channel_is_told_by_any_name_under_its_reader(self, url):
        for name in (READER, f"{READER}c1"):
            figures = call_json("layer", url, "stats", "--channel", name)
            assert (figures["channel"], figures["messages_pending"]) == (name, 1)
        rows = dict(call_rows("layer", url, "stats", "--channel", "jobs"))
        assert (rows["channel"], rows["messages_pending"]) == ("jobs", "3")

    def test_the_channels_are_listed_the_fullest_first(self, url):
        found = call_json("layer", url, "channels")
        assert [(each["channel"], each["kind"], each["messages_pending"]) for each in found] == [
            ("jobs", "normal", 3),
            (READER, "process-specific", 1),
        ]
        header, jobs, reader = call_rows("layer", url, "channels")
        names = "CHANNEL KIND PENDING OLDEST SENT FULL LOST EXPIRED CAPACITY"
        assert header == names.split()
        assert dict(zip(header, jobs, strict=True)) | {"OLDEST": ""} == {
            **dict.fromkeys(header, "0"),
            "CHANNEL": "jobs",
            "KIND": "normal",
            "PENDING": "3",
            "SENT": "3",
            "FULL": "1",
            "OLDEST": "",
            "CAPACITY": "100",
        }
        assert reader[:3] == [READER, "process-specific", "1"]

    def test_channels_are_chosen_by_a_glob_and_limited(self, url):
        assert [row[0] for row in call_rows("layer", url, "channels", "web.*")[1:]] == [READER]
        assert [row[0] for row in call_rows("layer", url, "channels", "--limit", "1")[1:]] == [
            "jobs"
        ]

    def test_capacity_is_what_the_url_says_or_what_a_server_takes(self, url):
        [jobs, _] = call_json("layer", f"{url}&channel_capacity=jobs:3", "channels")
        assert jobs["capacity"] == 3

    def test_the_groups_are_listed_the_largest_first(self, url):
        assert call_json("layer", url, "groups") == [
            {"group": "room", "members_count": 3, "readers_count": 2},
            {"group": "alone", "members_count": 1, "readers_count": 1},
        ]
        assert call_rows("layer", url, "groups", "--limit", "1") == [
            ["GROUP", "MEMBERS", "READERS"],
            ["room", "3", "2"],
        ]

    def test_the_members_of_a_group_are_listed(self, url):
        members = ["audit", f"{READER}c1", f"{READER}c2"]
        assert call_json("layer", url, "groups", "room") == {"group": "room", "members": members}
        assert call_rows("layer", url, "groups", "room") == [["MEMBER"], *([m] for m in members)]
        assert call_rows("layer", url, "groups", "unknown") == [["MEMBER"]]

    def test_routes_are_listed_with_what_all_processes_counted(self, own):
        url, _ = own
        assert call_json("layer", url, "routes") == []
        for fails in (True, False):
            count_a_run(url, fails=fails)
        found = {each["route"]: each for each in call_json("layer", url, "routes")}
        job = next(each for name, each in found.items() if name != "site")
        assert (job["count"], job["errors"], job["processes"]) == (2, 1, 2)
        heads, first, second = call_rows("layer", url, "routes")
        assert heads[:2] == ["ROUTE", "COUNT"]
        assert (first[0], second[0]) == (job["route"].split()[0], "site")
        [only] = call_json("layer", url, "routes", "si*", "--limit", "1")
        assert (only["route"], only["count"], only["run_time_p99"]) == ("site", 0, 0.0)

    def test_who_looks_takes_nothing_and_owns_nothing(self, own):
        url, finish = own
        looks = (["stats"], ["channels"], ["groups"], ["groups", "room"], ["routes"], ["ping"])
        for words in looks:
            call_rows("layer", url, *words)
        groups = call_json("layer", url, "groups")
        assert [each["members_count"] for each in groups] == [3, 1]
        assert finish() == ["jobs", "jobs", "jobs", f"{READER}c1"]

    def test_the_url_may_be_left_out_where_the_environment_has_it(self, url):
        assert call_json("layer", "stats", CHANNEL_LAYER=url)["messages_pending"] == 4
        assert call_json("layer", CHANNEL_LAYER=url)["messages_pending"] == 4
        [group, _] = call_json("layer", "groups", CHANNEL_LAYER=url)
        assert group["group"] == "room"
        assert call_rows("layer", "groups", "alone", CHANNEL_LAYER=url)[1] == [f"{READER}c1"]

    def test_a_watch_goes_on_until_ctrl_c(self, url):
        process = subprocess.Popen(
            [*rig.COMMAND, "layer", url, "stats", "--json", "--watch", "0.05"],
            cwd=rig.ROOT,
            env=rig.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3):
            assert json.loads(process.stdout.readline())["messages_pending"] == 4
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=rig.PATIENCE)
        assert (process.returncode, errors) == (0, "")

    def test_a_reader_that_has_seen_enough_is_no_error(self, url):
        line = f"{rig.COMMAND[0]} -m wsgi_bridge layer '{url}' stats --watch 0.01 | head -n 1"
        done = run(line, command=("sh", "-c"))
        assert (done.stdout.split(), done.stderr) == (["FIGURE", "VALUE"], "")


class TestFlush:
    def test_without_a_terminal_it_refuses_unless_told_yes(self, url):
        done = run("layer", url, "flush")
        assert done.returncode == 2
        assert "--yes" in done.stderr
        assert call_json("layer", url, "stats")["messages_pending"] == 4

    def test_it_says_what_it_dropped(self, own):
        url, finish = own
        done = run("layer", url, "flush", "--yes")
        assert done.stdout == "dropped 4 messages and 2 groups with 4 members\n"
        assert call_json("layer", url, "stats")["messages_pending"] == 0
        assert call_json("layer", url, "groups") == []
        again = call_json("layer", url, "flush", "--yes")
        assert again == {"messages": 0, "groups": 0, "members": 0}
        assert finish() == []

    def test_on_a_terminal_it_asks_first(self, own):
        url, _ = own
        status, shown = run_on_terminal("layer", url, "flush", typed="n\n")
        assert status == 1
        assert "drop 4 messages and 2 groups with 4 members of" in shown
        assert "s3cret" not in shown
        assert "nothing was dropped" in shown
        status, shown = run_on_terminal("layer", url, "flush", typed="y\n")
        assert status == 0
        assert "dropped 4 messages" in shown


class TestPing:
    def test_times_and_backend_are_told(self, own):
        url, _ = own
        found = call_json("layer", url, "ping", "--count", "7")
        assert found["count"] == 7
        assert 0 < found["min_ms"] <= found["median_ms"] <= found["max_ms"]
        facts = found["backend"]
        if url.startswith("ipc"):
            assert facts["directory"] == urlsplit(url).path
            assert len(facts["processes"]) == 1
            assert facts["lmdb"].count(".") == 2
        else:
            [(name, version)] = facts["servers"].items()
            assert f"@{name}?" in url.replace("?", "/0?")
            assert version.startswith(("Redis ", "Valkey "))
            assert facts["processes"] == 1

    def test_the_table_tells_the_same(self, own):
        url, _ = own
        rows = call_rows("layer", url, "ping")
        assert rows[1] == ["layer", url.partition(":")[0]]
        assert rows[-1][:3] == ["min,", "median,", "max"]
        assert "s3cret" not in str(rows)


class TestTerminal:
    def test_rich_draws_the_tables(self, url):
        status, shown = run_on_terminal("layer", url, "groups")
        assert status == 0
        assert "room" in shown
        assert "│" in shown

    def test_without_rich_they_are_plain(self, url):
        status, shown = run_on_terminal("layer", url, "groups", command=WITHOUT_RICH)
        assert status == 0
        assert [line.split() for line in shown.splitlines()] == [
            ["GROUP", "MEMBERS", "READERS"],
            ["room", "3", "2"],
            ["alone", "1", "1"],
        ]

    @pytest.mark.parametrize("command", [rig.COMMAND, WITHOUT_RICH])
    def test_a_watch_draws_again(self, url, command):
        with watching("layer", url, "stats", "--watch", "0.05", command=command) as terminal:
            terminal.wait_for("messages_pending", count=3)
            assert terminal.interrupt() == 0
