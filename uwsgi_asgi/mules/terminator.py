"""The mule that holds sockets: ``mule = /…/uwsgi_asgi/mules/terminator.py``."""

from __future__ import annotations

import uwsgi

from uwsgi_asgi.process import end_process, start_logging
from uwsgi_asgi.runtime import current
from uwsgi_asgi.terminator import run_terminator

if __name__ == "__main__":
    start_logging()
    run_terminator(current(), uwsgi.metric_set if "enable-metrics" in uwsgi.opt else None)
    end_process()
