"""Tasks that were written for uWSGI: only the line that imports the decorators has changed."""

import time

from flask import Flask

# before: from uwsgidecorators import cron, spool, timer
from uwsgi_asgi.decorators import cron, spool, timer
from wsgi_bridge import Bridge, Group, route

site = Flask(__name__)


# start: tasks
@spool(pass_arguments=True)
def send_invoice(order, copies=1):
    Group("office").send({"text": f"{copies} of the invoice for order {order}"})


@timer(60)
def check_stock(signum):
    Group("office").send({"text": time.strftime("stock checked at %H:%M")})


@cron(30, 3, -1, -1, -1)
def clean_up(signum):
    Group("office").send({"text": "cleaned up"})


@site.post("/orders/<int:number>")
def order(number):
    send_invoice(number, copies=2)
    send_invoice.spool(number, at=time.time() + 86400)
    return "", 202


@site.post("/stock")
def stock():
    check_stock(None)  # what timers and cron call stays a function like any other
    return "", 202


# end: tasks


def join(message):
    Group("office").add(message)


application = Bridge(site, routing=[route("websocket.connect", join, path=r"^/office$")])
