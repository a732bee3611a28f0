"""Every way to refuse a socket and to close one."""

from flask import Flask

from wsgi_bridge import Bridge, DenyConnection, route

site = Flask(__name__)


# start: refuse
def refuse(message):
    raise DenyConnection("members only")


def refuse_with_status(message):
    raise DenyConnection("pay first", status=402)


def refuse_with_a_page(message):
    message.reply_channel.send(
        {
            "accept": False,
            "status": 429,
            "headers": [[b"retry-after", b"60"]],
            "content": b"too many sockets of yours\n",
        }
    )


# end: refuse


def choose_subprotocol(message):
    if "chat.v2" not in message["subprotocols"]:
        raise DenyConnection("speak chat.v2", status=400)
    message.reply_channel.send({"accept": True, "subprotocol": "chat.v2"})


def close_on_goodbye(message):
    if message.get("text") == "goodbye":
        message.reply_channel.send({"text": "see you", "close": 4000, "reason": "you said so"})


application = Bridge(
    site,
    routing=[
        route("websocket.connect", refuse, path=r"^/members$"),
        route("websocket.connect", refuse_with_status, path=r"^/paid$"),
        route("websocket.connect", refuse_with_a_page, path=r"^/limited$"),
        route("websocket.connect", choose_subprotocol, path=r"^/chosen$"),
        route("websocket.receive", close_on_goodbye, path=r"^/polite$"),
    ],
)
