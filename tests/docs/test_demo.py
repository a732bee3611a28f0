"""The demo without a browser: forms and their tokens, rooms, who is in one, the tide."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest
from flask.testing import FlaskClient

from wsgi_bridge import Message, open_layer

DEMO = Path(__file__).parents[2] / "docs" / "demo"


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(DEMO))
    return importlib.import_module("demo")


@pytest.fixture
def client(demo: ModuleType) -> FlaskClient:
    return demo.site.test_client()


@pytest.fixture
def rooms(demo: ModuleType) -> ModuleType:
    return importlib.import_module("rooms")


def token(client: FlaskClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get("/").text)
    assert found
    return found[1]


def sign_in(client: FlaskClient, **fields: str):
    return client.post("/sign-in", data={"csrf": token(client), **fields})


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
    room = rooms.Room()
    assert room.enter("reply!1", "Ada") is True
    assert room.enter("reply!2", "Ada") is False
    assert room.people() == ["Ada"]
    assert room.leave("reply!1") is None
    assert room.leave("reply!2") == "Ada"
    assert room.leave("reply!2") is None
    assert room.people() == []


def test_rooms_that_everybody_left_are_forgotten_past_the_limit(rooms: ModuleType) -> None:
    many = rooms.Rooms()
    many["kept"].enter("reply!1", "Ada")
    for number in range(rooms.ROOM_LIMIT * 2):
        many[f"room-{number}"].add_line("Ada", "hello")
    assert len(many) <= rooms.ROOM_LIMIT
    assert many["kept"].people() == ["Ada"]


def test_a_reading_that_is_there_is_not_waited_for(demo: ModuleType) -> None:
    tide = importlib.import_module("tide")
    latest = tide.latest()
    assert tide.wait_for_next(0, timeout=0.0)["number"] >= latest["number"]
    assert tide.wait_for_next(latest["number"] + 60, timeout=1.0) is None
