"""gunicorn_asgi: a gunicorn worker class that terminates HTTP and WebSocket connections.

    gunicorn -k gunicorn_asgi.Worker mysite.wsgi

gunicorn imports this module in its master, before any fork and before gevent patches anything, so
it imports nothing but the worker class, which imports the rest after the fork.
"""

from gunicorn_asgi.worker import Worker

__all__ = ["Worker"]
