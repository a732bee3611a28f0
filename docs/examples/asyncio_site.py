"""The site of asyncio_feed.py: on any number of workers, with the same CHANNEL_LAYER."""

from flask import Flask

from wsgi_bridge import Bridge, Channel, Group, route

site = Flask(__name__)


@site.get("/")
def page():
    return """<!doctype html><title>Prices</title><pre></pre><script>
new WebSocket("ws" + location.origin.slice(4) + "/prices").onmessage = (event) =>
  document.querySelector("pre").append(event.data + "\\n")
</script>"""


def join(message):
    Group("prices").add(message.reply_channel)
    # Until the next line comes, the page shows what the feed said last.
    Channel("prices.latest").send({"socket": message.reply_channel.name})


application = Bridge(site, routing=[route("websocket.connect", join, path=r"^/prices$")])
