"""A Flask site with flask-sock, as its documentation has it: it knows nothing of this project."""

from __future__ import annotations

from flask import Flask
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)


@app.route("/")
def index():
    return "a page"


@sock.route("/echo")
def echo(ws):
    while True:
        data = ws.receive()
        if data == "fail":
            raise ValueError("asked to fail")
        ws.send(data)


@sock.route("/once")
def once(ws):
    ws.send("hello")
