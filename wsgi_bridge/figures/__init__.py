"""The figures of a running site: what each of its processes counts, published to all and to tools.

Every process publishes a report of its own to the storage of the layer that they share, once in the
setting `figures_interval` (reporter.py). Whoever can open that layer reads them all:

    figures = load_figures(layer)
    figures.gauges["connections"]            # all living processes together
    figures.counts["requests_count"]         # all processes there have ever been
    for process in figures.processes:        # the living ones, the oldest first
        process.pid, process.host, process.role, process.counts, process.gauges

`counts` only grow: what a process has counted goes into a total when it ends or is found dead, in
one step with its leaving, so that nothing is counted twice or not at all (ledger.py). `gauges` are
of now, and vanish with their process: those of one that was killed after DEAD_REPORTS intervals.
Both are trees of dicts, lists and numbers that are added up number by number (trees.py); the keys:

    counts   every `…_count` of docs/reference/statistics.md's first table, for servers;
             answers: a histogram (below) for each first digit of a status, `"0"` where there was
             none; request_seconds, of all of them; layer: what the process's own local queues
             count; routes: {name: {count, errors, timeouts, retries}}, for who runs consumers
    gauges   connections, websockets, for servers; consumers, which run now; layer:
             messages_pending and messages_max_age of the process's own local queues

A histogram is a list: its number at n counts what took less than 0.25 ms * 2 ** n, and not less
than half of that (`bucket_end`). What waits in the shared layer is not in here: ask the layer
(`global_statistics`, `statistics_by_channel`), and for run times of routes `route_reports`.

Where the workers of a gunicorn have no layer that they share (`memory://`), they publish to an ipc
layer of their master's, `ipc://gunicorn-…`, which carries nothing else. So there is always one to
read from; `wsgi-bridge layer ipc:// stats` lists those of a machine.
"""

from wsgi_bridge.figures.buckets import bucket_end
from wsgi_bridge.figures.ledger import DEAD_REPORTS, Figures, ProcessFigures, load_figures
from wsgi_bridge.figures.reporter import FiguresReporter

__all__ = [
    "DEAD_REPORTS",
    "Figures",
    "FiguresReporter",
    "ProcessFigures",
    "bucket_end",
    "load_figures",
]
