"""A site written for flask-sock: it runs as it is, and can move socket by socket."""

from flask import Flask
from flask_sock import Sock

from wsgi_bridge import Bridge, route

site = Flask(__name__)
sock = Sock(site)


@sock.route("/old/echo")
def old_echo(ws):
    while True:
        ws.send(ws.receive())


def new_echo(message):
    message.reply_channel.send({"text": message["text"]})


application = Bridge(site, routing=[route("websocket.receive", new_echo, path=r"^/new/echo$")])
