"""The processes that work through a channel layer: ours by greenlets or threads, and the peer's.

    messages.py   what is sent, and the check of what arrived: every message, in every process
    greenlets.py  our layers, as a server and a worker use them
    threads.py    our layers in plain threads
    channels.py   channels_redis in asyncio tasks, as Daphne and a consumer use it
    crowd.py      the members of a group in one process: who has what, and since when

`python -m tests.benchmarks.layers ROLE KIND URL`; scenarios.py names them. A role that answers or
holds members runs until it is stopped. One that asks or sends works whenever it is told to, and
says what it got through, as websocket_client.py does.
"""
