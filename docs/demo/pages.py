"""The Flask site: pages, forms, a session that holds a name, and two views that wait.

Nothing here knows that sockets exist, but for one line: `post_notice` says `Group.send`. The views
that wait (`tide_events`, `tide_poll`) are plain blocking code; the worker makes waiting cheap.
"""

from __future__ import annotations

import hmac
import importlib
import inspect
import json
import os
import re
import secrets
import textwrap
import time
from collections.abc import Iterator
from operator import attrgetter
from urllib.parse import urlsplit

import kept
import releases
import rooms
import tide
from flask import Flask, Response, abort, redirect, render_template, request, session, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from wsgi_bridge import Group

NAME_LENGTH = 24  # characters: fits a phone's header beside the state of the connection
NOTICE_LENGTH = 200  # characters: a toast of four lines on a phone
NOTICES = 20  # on the board
STREAM_READINGS = 900  # of one stream; then the page asks anew: no response lasts for ever
POLL_SECONDS = 25.0  # under the 30 s after which proxies commonly give up
ROOM_NAME = re.compile(r"[a-z0-9-]{1,32}")
NO_STORE = {"Cache-Control": "no-store"}
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

site = Flask(__name__)
site.config.update(
    # The session holds a name that nobody checked, so the key guards nothing and may be known; a
    # fixed one keeps people signed in when the server restarts. A real site keeps its own secret.
    SECRET_KEY=os.environ.get("DEMO_SECRET_KEY", "anybody may claim any name in this demo"),
    SESSION_COOKIE_SAMESITE="Lax",
    MAX_CONTENT_LENGTH=16 * 1024,
)


@site.context_processor
def page_context() -> dict[str, object]:
    """Give every template the name that is signed in and the token that its forms carry."""
    csrf = session.setdefault("csrf", secrets.token_urlsafe(16))
    return {"me": session.get("name"), "csrf": csrf, "source": source}


def source(module: str, name: str) -> str:
    """Return the source of a function of the demo, for the page that it makes work."""
    function = attrgetter(name)(importlib.import_module(module))
    return textwrap.dedent(inspect.getsource(function)).strip()


@site.before_request
def check_csrf() -> None:
    """Refuse a form that this site did not serve to this very session."""
    if request.method != "POST":
        return
    # Browsers say where a form was served, older ones not always: the token decides in any case.
    if urlsplit(request.headers.get("Origin", request.host_url)).netloc != request.host:
        abort(403, "This form was not served by this site.")
    expected = session.get("csrf", "")
    given = request.form.get("csrf", "")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        abort(400, "This form is out of date: go back, reload the page and send it again.")


@site.after_request
def set_security_headers(response: Response) -> Response:
    """Let a page load and run what this site serves, and nothing else."""
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response


@site.errorhandler(HTTPException)
def show_error(error: HTTPException) -> tuple[str, int]:
    """Answer a refusal with a page of the site."""
    return render_template("error.html", error=error), error.code or 500


@site.get("/")
def home() -> str:
    wanted = request.args.get("room", "")
    return render_template("home.html", rooms=rooms.listing(), next_room=wanted)


@site.post("/sign-in")
def sign_in() -> AnyResponse:
    name = " ".join(request.form.get("name", "").split())[:NAME_LENGTH]
    if not name.isprintable() or not name:
        abort(400, "A name is what the others see: give one of 1 to 24 letters.")
    session["name"] = name
    room = request.form.get("room", "")
    if ROOM_NAME.fullmatch(room):
        return redirect(url_for("room", name=room), 303)
    return redirect(url_for("home"), 303)


@site.post("/sign-out")
def sign_out() -> AnyResponse:
    session.clear()
    return redirect(url_for("home"), 303)


@site.get("/room")
def open_room() -> AnyResponse:
    words = re.findall(r"[a-z0-9]+", request.args.get("name", "").lower())
    return redirect(url_for("room", name="-".join(words)[:32].strip("-") or "lobby"), 303)


@site.get("/room/<name>")
def room(name: str) -> str | AnyResponse:
    if not ROOM_NAME.fullmatch(name):
        abort(404)
    if "name" not in session:
        return redirect(url_for("home", room=name), 303)
    return render_template("room.html", room=name, can_deploy=releases.is_offered())


@site.post("/deploy")
def deploy() -> tuple[dict[str, int], int]:
    """Replace the processes that run this very code. Who is connected stays connected."""
    if not releases.is_offered():
        abort(404)
    if "name" not in session:
        abort(403, "Sign in first.")
    try:
        return {"release": releases.deploy()}, 202
    except releases.UnderWay:
        abort(409, "The release before is still being deployed: wait a moment.")


@site.get("/notices")
def notice_board() -> str:
    board = reversed(kept.last("notices", NOTICES))
    return render_template("notices.html", notices=board, length=NOTICE_LENGTH)


@site.post("/notices")
def post_notice() -> AnyResponse:
    """Push to every open page, from an ordinary view: the one line that this site is about."""
    text = " ".join(request.form.get("text", "").split())[:NOTICE_LENGTH]
    if "name" in session and text:
        notice = {"who": session["name"], "text": text, "at": time.strftime("%H:%M")}
        kept.append("notices", notice, NOTICES)
        Group("notices").send({"text": json.dumps(notice)})
    return redirect(url_for("notice_board"), 303)


@site.get("/ticker")
def ticker() -> str:
    return render_template("ticker.html")


@site.get("/ticker/events")
def tide_events() -> Response:
    """Stream readings as server-sent events: a generator that sleeps between them."""

    def events() -> Iterator[str]:
        reading = tide.latest()
        for _ in range(STREAM_READINGS):
            yield f"data: {json.dumps(reading)}\n\n"
            reading = tide.wait_for_next(reading["number"], POLL_SECONDS) or reading
            if releases.is_outdated():
                break
        yield "event: end\ndata: ask again\n\n"

    return Response(events(), mimetype="text/event-stream", headers=NO_STORE)


@site.get("/ticker/poll")
def tide_poll() -> Response:
    """Answer with the first reading after `?after=`, as soon as there is one."""
    reading = tide.wait_for_next(request.args.get("after", 0, type=int), POLL_SECONDS)
    body, status = (json.dumps(reading), 200) if reading else ("", 204)
    return Response(body, status, mimetype="application/json", headers=NO_STORE)


@site.get("/live")
def live() -> str:
    return render_template("live.html")
