"""The site, on a server that waits a second for a head, not ten."""

import gunicorn_asgi.server
from tests.apps.site import application

__all__ = ["application"]

gunicorn_asgi.server.HEAD_TIMEOUT = 1.0
