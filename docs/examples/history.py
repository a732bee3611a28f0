"""Orders on a board that misses none: by WebSocket, and as server-sent events."""

import json
from pathlib import Path

from flask import Flask, Response, render_template_string, request

from wsgi_bridge import Bridge, Group, Position, route
from wsgi_bridge.consumers import get_default_layer

site = Flask(__name__, static_folder=None)
HEARTBEAT = 15.0
SCRIPT = Path(__file__).with_name("history.js").read_text()

# start: group
ORDERS = Group("orders", history=100, ttl=300)
orders = []  # a real site has a database


@site.post("/orders")
def add_order():
    orders.append(request.form["what"])
    ORDERS.send({"text": json.dumps({"number": len(orders), "what": orders[-1]})})
    return "", 204


# end: group


# start: socket
def join_orders(message):
    since = message["query_string"].decode().partition("since=")[2]
    ORDERS.subscribe(message, since)


# end: socket


# start: page
PAGE = """<!doctype html><title>Orders</title>
<ul>{% for what in orders %}<li id="order-{{ loop.index }}">{{ what }}</li>{% endfor %}</ul>
<script>
{{ script|safe }}
follow("ws" + location.origin.slice(4) + "/orders", {{ since|tojson }}, (text) => {
  const order = JSON.parse(text)
  if (document.getElementById(`order-${order.number}`)) return
  const line = document.createElement("li")
  line.id = `order-${order.number}`
  line.textContent = order.what
  document.querySelector("ul").append(line)
}, () => location.reload())
</script>"""


@site.get("/")
def board():
    # First the place, then the orders: what comes in between is in both, and shown once.
    since = str(ORDERS.position())
    return render_template_string(PAGE, script=SCRIPT, since=since, orders=orders)


# end: page


# start: events
@site.get("/orders/events")
def order_events():
    layer = get_default_layer()
    channel = layer.new_channel("orders?")
    ORDERS.add(channel)
    since = request.headers.get("Last-Event-ID") or request.args.get("since", "")
    missed = ORDERS.recover(since)

    def events():
        try:
            if missed.messages is None:
                yield f"event: lost\nid: {Position(*missed[:2])}\ndata: lost\n\n"
            yield from map(event, missed.messages or ())
            while True:
                _, message = layer.receive([channel], block=True, timeout=HEARTBEAT)
                if message is None:
                    yield ": still here\n\n"
                elif message["epoch"] != missed.epoch or message["offset"] > missed.offset:
                    yield event(message)
        finally:
            ORDERS.discard(channel)

    return Response(events(), mimetype="text/event-stream", headers={"Cache-Control": "no-store"})


def event(message):
    return f"id: {Position(message['epoch'], message['offset'])}\ndata: {message['text']}\n\n"


# end: events

application = Bridge(site, routing=[route("websocket.connect", join_orders, path=r"^/orders$")])
