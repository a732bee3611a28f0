"""What is said of faults: every warning and error of this project is one Event, with a stable name.

    event.py       Event: how one is logged, with its cause and its fields
    bursts.py      a storm of one event is a few lines, and the number of those left out
    server.py      what protocol servers say
    layers.py      what channel layers say
    consumers.py   what is said of consumers and of the WSGI app
    processes.py   what worker processes and their supervisor say

gunicorn_asgi and uwsgi_asgi have an `events` of their own. docs/reference/events.md is made of them
all. An event's name is promised as a setting's is: alarms are set on it; the text of its line is
not.
"""

from wsgi_bridge.events.bursts import tell_suppressed
from wsgi_bridge.events.event import Event

__all__ = ["Event", "tell_suppressed"]
