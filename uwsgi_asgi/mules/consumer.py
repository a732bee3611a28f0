"""A mule that runs consumers: ``mule = /…/uwsgi_asgi/mules/consumer.py``."""

from __future__ import annotations

import uwsgi

from uwsgi_asgi.consumers import run_consumers
from uwsgi_asgi.process import end_process, start_logging
from uwsgi_asgi.runtime import current

if __name__ == "__main__":
    start_logging()
    run_consumers(current(), uwsgi.opt, f"uWSGI/{uwsgi.version.decode()}")
    end_process()
