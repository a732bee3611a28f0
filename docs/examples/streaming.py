"""Server-sent events and long polls from blocking views, fed by the same groups as sockets."""

from flask import Flask, Response, request

from wsgi_bridge import Bridge, Group
from wsgi_bridge.consumers import get_default_layer

site = Flask(__name__)
HEARTBEAT = 15.0  # seconds: a comment line then tells proxies that the stream is alive
POLL = 25.0  # seconds: under the 30 after which many proxies give up


@site.post("/news")
def publish():
    Group("news").send({"text": request.get_data(as_text=True)})
    return "", 204


@site.get("/news/events")
def events():
    layer = get_default_layer()
    channel = layer.new_channel("news?")
    Group("news").add(channel)

    def lines():
        try:
            yield ": hello\n\n"
            while True:
                _, message = layer.receive([channel], block=True, timeout=HEARTBEAT)
                yield f"data: {message['text']}\n\n" if message else ": still here\n\n"
        finally:
            Group("news").discard(channel)

    return Response(lines(), mimetype="text/event-stream", headers={"Cache-Control": "no-store"})


@site.get("/news/next")
def next_news():
    layer = get_default_layer()
    channel = layer.new_channel("news?")
    Group("news").add(channel)
    try:
        _, message = layer.receive([channel], block=True, timeout=POLL)
    finally:
        Group("news").discard(channel)
    return (message["text"], 200) if message else ("", 204)


application = Bridge(site)
