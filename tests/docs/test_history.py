"""The examples of presence and history, and the script that a page reads a history with."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest
from websockets.sync.client import ClientConnection

from tests.docs.test_examples import EXAMPLES, TIMEOUT, Site, receive, running

NODE = shutil.which("node")
SCRIPT = (EXAMPLES / "history.js").read_text()

# In place of the browser: sockets that the test feeds, and no time between two of them.
BROWSER = """
const sockets = [], shown = []
class WebSocket {
  constructor(url) { this.url = url; this.closed = 0; sockets.push(this) }
  get(frame) { this.onmessage({ data: JSON.stringify(frame) }) }
  close() { this.closed += 1 }
}
const setTimeout = (callback) => callback()
const live = (offset, epoch = "E") => ({ epoch, offset, data: `${offset}` })
const missed = (offset, recovered, epoch = "E") => ({ epoch, offset, recovered })
follow("ws://x", "E:3", (text) => shown.push(text), () => shown.push("lost"))
"""


def play(acts: str) -> list[object]:
    """Return what the script showed after these acts, and what they added."""
    if NODE is None:
        pytest.skip("needs node")
    script = f"{SCRIPT}\n{BROWSER}\n{acts}\nconsole.log(JSON.stringify(shown))"
    done = subprocess.run([NODE, "-e", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown: list[object] = json.loads(done.stdout)
    return shown


def test_the_script_shows_what_was_missed_and_then_what_is_new() -> None:
    acts = 'sockets[0].get(missed(5, ["4", "5"])); sockets[0].get(live(6))'
    assert play(acts) == ["4", "5", "6"]


def test_the_script_shows_nothing_twice() -> None:
    acts = """
    sockets[0].get(live(5)); sockets[0].get(live(6)); sockets[0].get(missed(5, ["4", "5"]))
    sockets[0].get(live(6)); sockets[0].get(live(7))
    """
    assert play(acts) == ["4", "5", "6", "7"]


def test_the_script_comes_back_where_it_was() -> None:
    acts = """
    sockets[0].get(missed(3, [])); sockets[0].get(live(4)); sockets[0].onclose()
    shown.push(sockets[1].url); sockets[1].get(missed(5, ["5"]))
    """
    assert play(acts) == ["4", "ws://x?since=E:4", "5"]


@pytest.mark.parametrize("frame", ["live(5)", 'live(4, "F")'])
def test_the_script_comes_back_for_what_is_missing(frame: str) -> None:
    acts = f"sockets[0].get(missed(3, [])); sockets[0].get({frame}); shown.push(sockets[0].closed)"
    assert play(acts) == [1]


def test_the_script_says_what_cannot_be_recovered() -> None:
    acts = 'sockets[0].get(missed(9, null, "F")); sockets[0].get(live(10, "F"))'
    assert play(acts) == ["lost", "10"]


@pytest.fixture
def board() -> Iterator[Site]:
    with running("history") as site:
        yield site


def place_of(page: str) -> str:
    found = re.search(r'"/orders", "([^"]+)"', page)
    assert found is not None, page
    return found[1]


def read(socket: ClientConnection) -> dict[str, object]:
    frame: dict[str, object] = json.loads(receive(socket))
    return frame


def test_a_page_misses_no_order(board: Site) -> None:
    board.request("/orders", {"what": "tea"})
    page = board.request("/")[1]
    assert '<li id="order-1">tea</li>' in page
    board.request("/orders", {"what": "cake"})
    with board.socket(f"/orders?since={place_of(page)}") as socket:
        assert read(socket)["recovered"] == ['{"number": 2, "what": "cake"}']
        board.request("/orders", {"what": "milk"})
        frame = read(socket)
    assert frame["data"] == '{"number": 3, "what": "milk"}'
    with board.socket(f"/orders?since={frame['epoch']}:{frame['offset']}") as socket:
        assert read(socket)["recovered"] == []


def test_an_event_stream_misses_no_order(board: Site) -> None:
    place = place_of(board.request("/")[1])
    address = f"http://{board.address}/orders/events?since={place}"
    for what in ("tea", "cake"):
        board.request("/orders", {"what": what})
    with urllib.request.urlopen(address, timeout=TIMEOUT) as events:
        lines = [events.readline().decode() for _ in range(6)]
        assert [json.loads(line[6:])["what"] for line in lines[1::3]] == ["tea", "cake"]
        board.request("/orders", {"what": "milk"})
        assert "milk" in [events.readline().decode() for _ in range(2)][1]
    again = urllib.request.Request(address, headers={"Last-Event-ID": lines[0][4:].strip()})
    with urllib.request.urlopen(again, timeout=TIMEOUT) as events:
        assert "cake" in [events.readline().decode() for _ in range(2)][1]


def test_an_event_stream_says_what_it_cannot_tell(board: Site) -> None:
    address = f"http://{board.address}/orders/events?since=another:7"
    with urllib.request.urlopen(address, timeout=TIMEOUT) as events:
        assert events.readline() == b"event: lost\n"


def test_a_room_says_who_is_in_it() -> None:
    with running("presence") as site:
        assert site.refusal("/rooms/lobby") == (403, "sign in first")
        site.request("/sign-in/ada", {})
        with site.socket("/rooms/lobby") as socket:
            assert read(socket)["joined"] == "ada"
            assert json.loads(site.request("/rooms/lobby/people")[1]) == ["ada"]
