"""A site that is no Bridge, and hands WebSockets over."""

from tests.apps.hello import application as hello
from uwsgi_asgi import HandOff

application = HandOff(hello)
