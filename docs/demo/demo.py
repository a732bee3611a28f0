"""The demo's one configured object: an ordinary Flask site and the consumers of its sockets.

Run it with `make demo`: gunicorn_asgi.SplitWorker, with the button that redeploys this very code.
Or, as one process, `gunicorn -k gunicorn_asgi.Worker --chdir docs/demo demo:application`. This
module only puts the parts together:

- `pages`: the Flask site (pages, forms, sessions, the event stream and the long poll);
- `realtime`: consumers of the chat and of the notice board, and who may open a socket;
- `rooms`: who is in a room and what was said there;
- `kept`: what outlives the process that handled it, in the channel layer;
- `releases`: which code this is, and how the next is deployed;
- `figures`: the counts that the charts show;
- `tide`: the readings that the ticker shows.

No state is in a process: any number of them may run this, and be replaced at any time. What is in
the layer ends with gunicorn, unless CHANNEL_LAYER names one that others share.
"""

from __future__ import annotations

from figures import Figures
from pages import site
from realtime import RoomChat, connect_notices

from wsgi_bridge import Bridge, route, route_class

application = Bridge(
    site,
    routing=[
        route("websocket.connect", connect_notices, path=r"^/ws/notices$"),
        route_class(RoomChat, path=r"^/ws/room/(?P<room>[a-z0-9-]{1,32})$"),
        route_class(Figures, path=r"^/ws/figures$"),
    ],
)
