"""A shop, as an ordinary Flask site."""

from flask import Flask, redirect, request
from markupsafe import escape

site = Flask(__name__)
orders = []


@site.get("/")
def board():
    lines = "".join(f"<li>{escape(order)}</li>" for order in orders)
    return f"""<!doctype html><title>Orders</title><ul>{lines}</ul>
        <form method="post" action="/orders"><input name="what"><button>Order</button></form>"""


@site.post("/orders")
def add_order():
    orders.append(request.form["what"])
    return redirect("/", 303)
