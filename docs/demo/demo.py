"""The demo's one configured object: an ordinary Flask site and the consumers of its sockets.

Run it with `make demo`, or `gunicorn -k gunicorn_asgi.Worker --chdir docs/demo demo:application`.
This module only puts the parts together:

- `pages`: the Flask site (pages, forms, sessions, the event stream and the long poll);
- `realtime`: consumers of the chat and of the notice board, and who may open a socket;
- `rooms`: who is in a room and what was said there;
- `figures`: the statistics that the charts show;
- `tide`: the readings that the ticker shows.

State is kept in this process, over the memory layer: run one gunicorn worker, and expect a restart
to forget it.
"""

from __future__ import annotations

from figures import Figures
from pages import site
from realtime import RoomChat, connect_notices, echo

from wsgi_bridge import Bridge, route, route_class

figures = Figures(lambda: application.statistics())

application = Bridge(
    site,
    routing=[
        route("websocket.connect", connect_notices, path=r"^/ws/notices$"),
        route_class(RoomChat, path=r"^/ws/room/(?P<room>[a-z0-9-]{1,32})$"),
        route("websocket.connect", figures.connect, path=r"^/ws/figures$"),
        route("websocket.receive", echo, path=r"^/ws/figures$"),
    ],
)
