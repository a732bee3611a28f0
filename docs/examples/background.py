"""Background work with retries, reminders that can be taken back, and a periodic task."""

import time
from urllib.error import URLError
from urllib.request import urlopen

from flask import Flask, request

from wsgi_bridge import Bridge, Channel, ConsumeLater, Group, route

site = Flask(__name__)


# start: work
@site.post("/pictures")
def add_picture():
    # The view answers at once.
    Channel("thumbnails").send({"url": request.form["url"]})
    return "", 202


def make_thumbnail(message):
    try:
        with urlopen(message["url"], timeout=10) as response:
            size = len(response.read())
    except URLError as exc:
        raise ConsumeLater(f"{message['url']}: {exc}") from exc
    Group("editors").send({"text": f"{size} bytes after {message.get('attempt', 0)} retries"})


# end: work


# start: later
@site.post("/auctions/<int:number>/bids")
def bid(number):
    # Whoever bids puts the end off: under an id there is one message for later.
    Channel("auctions.end").send_later({"number": number}, delay=5, id=f"auction-{number}")
    Group("editors").send_later({"text": f"{number}: going once"}, delay=1, id=f"auction-{number}")
    return "", 202


@site.delete("/auctions/<int:number>")
def withdraw(number):
    Group("editors").cancel(f"auction-{number}")
    return {"was_open": Channel("auctions.end").cancel(f"auction-{number}")}


def end_auction(message):
    Group("editors").send({"text": f"{message['number']}: sold"})


# end: later


def join(message):
    Group("editors").add(message)


# start: periodic
def tell_time(message):
    Group("editors").send({"text": time.strftime("it is %H:%M")})


application = Bridge(
    site,
    routing=[
        route("websocket.connect", join, path=r"^/editors$"),
        route("thumbnails", make_thumbnail, timeout=30, retries=8, backoff=1),
        route("auctions.end", end_auction),
        route("clock", tell_time),
    ],
)
application.send_every(60, "clock")
# end: periodic
