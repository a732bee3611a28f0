"""The loss audit: what becomes of every message, while processes are killed and backends die.

    python -m tests.audit ipc
    python -m tests.audit redis --kill --restart-backend
    python -m tests.audit ipc groups --kill
    python -m tests.audit ipc growth --messages 10000000
    python -m tests.audit redis sockets --kill 1
    python -m tests.audit ipc redeploys --arrangement split

`queues` numbers every message and afterwards names the cause of each one that was not delivered;
`groups` checks that every member gets what was sent while it was one; `growth` that nothing grows;
`sockets` and `redeploys` that real WebSockets stay open, and what becomes of their frames, while
the processes of their consumers are killed or replaced.
See docs/topics/delivery.md.
"""
