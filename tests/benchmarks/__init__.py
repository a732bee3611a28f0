"""The benchmarks of this project: our worker beside its peers, in one run, on one machine.

Run `python -m tests.benchmarks --help`. Not a test: pytest collects nothing here, and nothing
here fails because a machine is slow. The results table of the docs is what `--markdown` wrote.

    scenarios.py         what is compared: the works, their servers, the claims
    bench.py             how it is measured: rounds, samples
    servers.py           how a server is started, pinned to one core, and stopped
    loads.py             the load: wrk for HTTP, processes of ours for the rest
    child.py             what those have in common
    websocket_client.py  the WebSocket load client, a process of its own
    layers/              the processes that work through a channel layer, ours and the peer's
    cpu.py               what the kernel says a server used: CPU time and memory
    report.py            medians, ratios, tables
    apps/                the applications, as alike as their interfaces allow
"""
