"""What `uwsgidecorators` has, with the same names and signatures, over the channel layer.

    from uwsgi_asgi.decorators import cron, spool, timer

The functions run where a site's consumers run: in mules beside uWSGI, in `wsgi-bridge worker`,
under gunicorn. So they can be moved one by one, and then off uWSGI. No routing names them: whoever
runs a `Bridge` in a process that has imported such a function receives on its channels
(wsgi_bridge.add_ons). docs/howto/uwsgi-decorators.md has a row for every name, with what differs.

Beside them are the functions of the module `uwsgi` that go with them: what sends to a function has
to send over the layer too.
"""

from uwsgi_asgi.decorators.harakiri import harakiri
from uwsgi_asgi.decorators.locking import lock
from uwsgi_asgi.decorators.mules import (
    farm,
    farm_msg,
    mule,
    mule_msg,
    mulefunc,
    muleloop,
    mulemsg,
)
from uwsgi_asgi.decorators.postforks import postfork, postfork_chain_hook
from uwsgi_asgi.decorators.signals import cron, filemon, rbtimer, send_signal, signal, timer
from uwsgi_asgi.decorators.spooler import (
    SPOOL_IGNORE,
    SPOOL_OK,
    SPOOL_RETRY,
    set_spooler_frequency,
    spool,
    spoolforever,
    spoolraw,
)
from uwsgi_asgi.decorators.unlayered import erlang, rpc, thread

__all__ = [
    "SPOOL_IGNORE",
    "SPOOL_OK",
    "SPOOL_RETRY",
    "cron",
    "erlang",
    "farm",
    "farm_msg",
    "filemon",
    "harakiri",
    "lock",
    "mule",
    "mule_msg",
    "mulefunc",
    "muleloop",
    "mulemsg",
    "postfork",
    "postfork_chain_hook",
    "rbtimer",
    "rpc",
    "send_signal",
    "set_spooler_frequency",
    "signal",
    "spool",
    "spoolforever",
    "spoolraw",
    "thread",
    "timer",
]
