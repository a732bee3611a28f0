"""The demo without a browser: forms and their tokens, rooms, releases, the tide."""

from __future__ import annotations

import importlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from flask.testing import FlaskClient

from wsgi_bridge import Message, open_layer
from wsgi_bridge.testing import Client, WebSocket

DEMO = Path(__file__).parents[2] / "docs" / "demo"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DEMO))
    return importlib.import_module("demo")


@pytest.fixture(autouse=True)
def visitor(demo: ModuleType) -> Iterator[Client]:
    """Somebody at the whole demo, on a layer of their own."""
    with Client(demo.application) as visitor:
        yield visitor


@pytest.fixture
def client(demo: ModuleType) -> FlaskClient:
    return demo.site.test_client()


@pytest.fixture
def releases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, demo: ModuleType) -> ModuleType:
    """The module that deploys, as `make demo` would have it; its master is never signalled."""
    releases = importlib.import_module("releases")
    monkeypatch.setenv("DEMO_MASTER", str(os.getppid()))
    monkeypatch.setenv("DEMO_RELEASES", str(tmp_path))
    monkeypatch.setattr(releases, "CURRENT", releases.load())
    monkeypatch.setattr(os, "kill", lambda *_: None)
    return releases


@pytest.fixture
def rooms(demo: ModuleType) -> ModuleType:
    return importlib.import_module("rooms")


def token(client: FlaskClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)
    assert found
    return found[1]


def sign_in(client: FlaskClient, **fields: str):
    return client.post("/sign-in", data={"csrf": token(client), **fields})


def enter(visitor: Client, name: str, room: str) -> WebSocket:
    """Sign in and open a room's socket; its welcome is yet to be read."""
    page = visitor.get("/").text
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)[1]
    visitor.post("/sign-in", form={"csrf": csrf, "name": name})
    return visitor.websocket(f"/ws/room/{room}")


def kinds(socket: WebSocket, number: int) -> list[str]:
    return [socket.receive_json()["kind"] for _ in range(number)]


@pytest.mark.parametrize("path", ["/", "/notices", "/ticker", "/live", "/static/narrows.css"])
def test_a_page_loads_nothing_from_elsewhere(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert not re.search(r'(src|href)="(https?:)?//', response.text)


@pytest.mark.parametrize("fields", [{}, {"csrf": ""}, {"csrf": "guessed"}, {"csrf": "é"}])
def test_a_form_without_the_sessions_token_is_refused(client: FlaskClient, fields: dict) -> None:
    assert client.post("/sign-in", data={"name": "Ada", **fields}).status_code == 400
    client.get("/")
    assert client.post("/sign-in", data={"name": "Ada", **fields}).status_code == 400


def test_signing_in_leads_to_the_room_that_was_asked_for(client: FlaskClient) -> None:
    assert client.get("/room/galley").location == "/?room=galley"
    assert sign_in(client, name="  Ada   L ", room="galley").location == "/room/galley"
    assert 'data-me="Ada L"' in client.get("/room/galley").text


@pytest.mark.parametrize("room", ["", "//elsewhere.example", "../live", "a b"])
def test_signing_in_never_leads_off_the_site(client: FlaskClient, room: str) -> None:
    assert sign_in(client, name="Ada", room=room).location == "/"


@pytest.mark.parametrize("name", ["", "   ", "\x07", "bell\x07"])
def test_a_name_that_cannot_be_shown_is_refused(client: FlaskClient, name: str) -> None:
    assert sign_in(client, name=name).status_code == 400


@pytest.mark.parametrize(
    ("asked", "room"),
    [("Engine Room", "engine-room"), ("  ", "lobby"), ("é", "lobby"), ("x" * 99, "x" * 32)],
)
def test_any_words_make_a_room(client: FlaskClient, asked: str, room: str) -> None:
    assert client.get("/room", query_string={"name": asked}).location == f"/room/{room}"


@pytest.mark.parametrize("path", ["/room/UPPER", "/room/" + "x" * 33, "/room/a%3Cb"])
def test_a_room_with_another_kind_of_name_is_not_there(client: FlaskClient, path: str) -> None:
    sign_in(client, name="Ada")
    assert client.get(path).status_code == 404


def test_a_notice_without_a_name_is_not_posted(client: FlaskClient) -> None:
    fields = {"csrf": token(client), "text": "nobody said this"}
    assert client.post("/notices", data=fields).status_code == 303
    assert "nobody said this" not in client.get("/notices").text


def test_a_socket_is_known_by_the_session_of_the_site(
    client: FlaskClient, demo: ModuleType
) -> None:
    sign_in(client, name="Ada")
    cookie = client.get_cookie("session")
    assert cookie
    realtime = importlib.import_module("realtime")

    def name_for(session: str) -> str | None:
        headers = [[b"host", b"demo"], [b"cookie", f"session={session}".encode()]]
        connect = {"path": "/ws/room/galley", "headers": headers}
        return realtime.signed_in_name(
            Message(connect, "websocket.connect", open_layer("memory://"))
        )

    assert name_for(cookie.value) == "Ada"
    assert name_for("forged") is None


def test_a_person_is_in_a_room_until_the_last_page_is_closed(rooms: ModuleType) -> None:
    room = rooms.Room("galley")
    assert room.enter("reply!1", "Ada") is True
    assert room.enter("reply!2", "Ada") is False
    assert room.people() == ["Ada"]
    assert room.leave("reply!1") is None
    assert room.leave("reply!2") == "Ada"
    assert room.leave("reply!2") is None
    assert room.people() == []


def test_a_room_keeps_its_last_lines(rooms: ModuleType) -> None:
    room = rooms.Room("galley")
    assert room.lines() == []
    for number in range(rooms.HISTORY_LINES + 3):
        room.add_line("Ada", f"line {number}", release=1)
    texts = [line["text"] for line in rooms.Room("galley").lines()]
    assert texts == [f"line {number}" for number in range(3, rooms.HISTORY_LINES + 3)]
    assert rooms.Room("lobby").lines() == []


def test_what_is_past_its_time_is_not_kept_and_what_came_later_is(
    visitor: Client, demo: ModuleType
) -> None:
    kept = importlib.import_module("kept")
    for number in range(3):
        kept.append("board", {"number": number}, 20)
    visitor.clock.advance(kept.KEPT_FOR / 2)
    kept.append("board", {"number": 3}, 20)
    visitor.clock.advance(kept.KEPT_FOR / 2 + 1)
    assert kept.last("board", 20) == [{"number": 3}]


def test_rooms_that_somebody_is_in_are_listed_after_the_standing_ones(rooms: ModuleType) -> None:
    rooms.Room("bilge").enter("reply!1", "Ada")
    rooms.Room("bilge").enter("reply!2", "Ben")
    rooms.Room("galley").enter("reply!3", "Ada")
    assert rooms.listing() == [("lobby", 0), ("galley", 1), ("lamp-room", 0), ("bilge", 2)]


def test_each_frame_in_a_room_is_answered_before_what_it_says_is_shown(visitor: Client) -> None:
    ada = enter(visitor, "Ada", "galley")
    assert kinds(ada, 2) == ["welcome", "joined"]

    ada.send_json({"number": 1, "say": "hello"})
    answer = ada.receive_json()
    assert (answer["number"], answer["release"]) == (1, 1)
    assert answer["process"] == os.getpid()
    said = ada.receive_json()
    assert (said["line"]["text"], said["line"]["release"]) == ("hello", 1)

    ada.send_json({"number": 2})
    assert ada.receive_json()["number"] == 2


def test_who_comes_and_goes_is_told_to_the_others(visitor: Client) -> None:
    ada = enter(visitor, "Ada", "galley")
    kinds(ada, 2)
    ben = enter(visitor.visitor(), "Ben", "galley")
    assert ada.receive_json() == {"kind": "joined", "who": "Ben", "people": ["Ada", "Ben"]}
    ben.close()
    assert ada.receive_json() == {"kind": "left", "who": "Ben", "people": ["Ada"]}


def test_the_figures_are_those_of_the_layer(visitor: Client) -> None:
    notices, figures = visitor.websocket("/ws/notices"), visitor.websocket("/ws/figures")
    figures.send_json({"ping": 7.5})
    answer = figures.receive_json()
    assert (answer["ping"], answer["sockets"]) == (7.5, 2)
    assert answer["messages"] >= 3
    figures.send_json({"stir": 1})
    assert figures.receive_json() == {"stir": 1}
    notices.close()


def test_a_deployment_puts_new_code_in_place_and_tells_the_master(
    releases: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals = []
    monkeypatch.setattr(os, "kill", lambda *signal: signals.append(signal))
    before = releases.CURRENT
    assert releases.deploy() == before.number + 1
    assert signals == [(os.getppid(), signal.SIGHUP)]
    assert releases.is_outdated()

    monkeypatch.setattr(releases, "CURRENT", releases.load())  # as a new process does
    assert not releases.is_outdated()
    assert releases.CURRENT.number == before.number + 1
    assert releases.CURRENT.greet("Ada") != before.greet("Ada")
    assert "Ada" in releases.CURRENT.greet("Ada")


def test_a_deployment_waits_for_the_one_before_but_not_for_ever(
    releases: ModuleType, tmp_path: Path
) -> None:
    releases.deploy()
    with pytest.raises(releases.UnderWay, match="release 2"):
        releases.deploy()
    long_ago = time.time() - releases.PATIENCE - 1
    os.utime(tmp_path / "release.py", (long_ago, long_ago))
    assert releases.deploy() == 3


@pytest.mark.parametrize("missing", ["DEMO_MASTER", "DEMO_RELEASES"])
def test_nobody_is_told_to_reload_who_did_not_say_so(
    releases: ModuleType, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(os, "kill", pytest.fail)
    monkeypatch.delenv(missing)
    with pytest.raises(RuntimeError, match="make demo"):
        releases.deploy()


def test_a_master_that_is_not_the_parent_is_left_alone(
    releases: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "kill", pytest.fail)
    monkeypatch.setenv("DEMO_MASTER", str(os.getpid()))
    with pytest.raises(RuntimeError, match="make demo"):
        releases.deploy()


def test_the_button_is_for_who_is_signed_in(client: FlaskClient, releases: ModuleType) -> None:
    assert client.post("/deploy", data={"csrf": token(client)}).status_code == 403
    sign_in(client, name="Ada")
    assert 'action="/deploy"' in client.get("/room/galley").text
    form = {"csrf": token(client)}
    assert client.post("/deploy", data=form).status_code == 202
    assert client.post("/deploy", data=form).status_code == 409


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null", "http://localhost:81"])
def test_no_other_site_presses_the_button(
    client: FlaskClient, releases: ModuleType, origin: str
) -> None:
    sign_in(client, name="Ada")
    form, headers = {"csrf": token(client)}, {"Origin": origin}
    assert client.post("/deploy", data=form, headers=headers).status_code == 403
    assert client.post("/deploy").status_code == 400
    assert not releases.is_outdated()


def test_there_is_no_button_where_there_is_no_master(client: FlaskClient) -> None:
    sign_in(client, name="Ada")
    assert "make demo" in client.get("/room/galley").text
    assert client.post("/deploy", data={"csrf": token(client)}).status_code == 404


def test_a_stream_of_readings_makes_way_for_new_code(
    client: FlaskClient, releases: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    tide = importlib.import_module("tide")
    monkeypatch.setattr(tide, "wait_for_next", lambda number, timeout: tide.latest())
    releases.deploy()
    events = client.get("/ticker/events").text.split("\n\n")
    assert [event.partition(":")[0] for event in events] == ["data", "event", ""]


def test_a_reading_that_is_there_is_not_waited_for(demo: ModuleType) -> None:
    tide = importlib.import_module("tide")
    latest = tide.latest()
    assert tide.wait_for_next(0, timeout=0.0)["number"] >= latest["number"]
    assert tide.wait_for_next(latest["number"] + 60, timeout=1.0) is None
