"""A Pyramid site: a view that pushes, and a socket that listens."""

from pyramid.config import Configurator
from pyramid.view import view_config

from wsgi_bridge import Bridge, Group, route


@view_config(route_name="measure", request_method="POST", renderer="json")
def measure(request):
    Group("measurements").send({"text": request.text})
    return {"stored": True}


def follow(message):
    Group("measurements").add(message.reply_channel)


with Configurator() as config:
    config.add_route("measure", "/measurements")
    config.scan(__name__)
    site = config.make_wsgi_app()

application = Bridge(site, routing=[route("websocket.connect", follow, path=r"^/measurements$")])
