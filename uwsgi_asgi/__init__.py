"""uwsgi_asgi: WebSockets, push, consumers and delays for a WSGI site that runs on uWSGI.

The site's ini includes what `python -m uwsgi_asgi.config` prints, and nothing else changes: its
workers stay what they are. They hand WebSockets over to a mule that holds them (`terminator`);
consumers run in mules of their own (`consumers`).
"""

from uwsgi_asgi.handoff import HandOff

__all__ = ["HandOff"]
