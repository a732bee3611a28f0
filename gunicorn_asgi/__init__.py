"""gunicorn_asgi: gunicorn worker classes that terminate HTTP and WebSocket connections.

    gunicorn -k gunicorn_asgi.Worker mysite.wsgi
    gunicorn -k gunicorn_asgi.SplitWorker -w 5 mysite.wsgi

gunicorn imports this module in its master, before any fork and before gevent patches anything, so
it imports nothing but the worker classes, which import the rest after the fork.
"""

from gunicorn_asgi.split import SplitWorker
from gunicorn_asgi.worker import Worker

__all__ = ["SplitWorker", "Worker"]
