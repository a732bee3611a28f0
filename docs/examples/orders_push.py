"""The same shop, whose view now pushes to every open page."""

from flask import Flask, redirect, request
from markupsafe import escape

from wsgi_bridge import Bridge, Group, route

site = Flask(__name__)
orders = []

SCRIPT = """<script>
const socket = new WebSocket("ws" + location.origin.slice(4) + "/orders")
socket.onmessage = (event) => {
  const line = document.createElement("li")
  line.textContent = event.data
  document.querySelector("ul").append(line)
}
</script>"""


@site.get("/")
def board():
    lines = "".join(f"<li>{escape(order)}</li>" for order in orders)
    return f"""<!doctype html><title>Orders</title><ul>{lines}</ul>
        <form method="post" action="/orders"><input name="what"><button>Order</button></form>
        {SCRIPT}"""


@site.post("/orders")
def add_order():
    orders.append(request.form["what"])
    Group("orders").send({"text": request.form["what"]})
    return redirect("/", 303)


def join_orders(message):
    Group("orders").add(message.reply_channel)


application = Bridge(
    site,
    routing=[route("websocket.connect", join_orders, path=r"^/orders$")],
)
