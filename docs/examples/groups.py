"""Push from anywhere in the process: a view, a timer thread, a consumer."""

import threading
import time

from flask import Flask

from wsgi_bridge import Bridge, Channel, Group, route

site = Flask(__name__)


@site.post("/doorbell")
def doorbell():
    Group("house").send({"text": "somebody is at the door"})
    return "rung"


# start: job
@site.post("/reports")
def start_report():
    # The view answers at once. The job is another consumer, in its own time.
    Channel("reports.make").send({"title": "Sales"})
    return "", 202


def make_report(message):
    Group("house").send({"text": f"the report {message['title']} is ready"})


# end: job


# start: thread
def tick():
    while True:
        Group("clock").send({"text": time.strftime("%H:%M:%S")})
        time.sleep(1)


def join_clock(message):
    Group("clock").add(message.reply_channel)
    if not clock.is_alive():
        clock.start()


clock = threading.Thread(target=tick, daemon=True)
# end: thread


def join_house(message):
    Group("house").add(message.reply_channel)


application = Bridge(
    site,
    routing=[
        route("websocket.connect", join_house, path=r"^/house$"),
        route("websocket.connect", join_clock, path=r"^/clock$"),
        route("reports.make", make_report),
    ],
)
