from flask import Flask

from wsgi_bridge import Bridge, Group, route

site = Flask(__name__)
PAGE = """<!doctype html><title>Chat</title><input autofocus placeholder="say something"><pre></pre>
<script>
const socket = new WebSocket(location.href.replace("http", "ws"))
const [input, lines] = [document.querySelector("input"), document.querySelector("pre")]
socket.onmessage = (event) => lines.append(event.data + "\\n")
input.onchange = () => { socket.send(input.value); input.value = "" }
</script>"""


@site.get("/rooms/<name>")
def room(name):
    return PAGE


def enter(message, name):
    Group(f"room-{name}").add(message.reply_channel)


def say(message, name):
    Group(f"room-{name}").send({"text": message["text"]})


ROOM = r"^/rooms/(?P<name>\w+)$"
routing = [route("websocket.connect", enter, path=ROOM), route("websocket.receive", say, path=ROOM)]
application = Bridge(site, routing=routing)
