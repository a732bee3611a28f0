"""gunicorn's configuration for a measured SplitWorker: servers on one core, consumers on another.

`gunicorn -c python:tests.benchmarks.split_conf`. The server's core is the one that the master was
started on; consumers have any other.
"""

import os


def post_fork(server, worker):
    """Move the processes that run consumers."""
    if type(worker).__name__ == "ConsumerWorker":
        os.sched_setaffinity(0, set(range(os.cpu_count())) - os.sched_getaffinity(0))
