"""The loss audit: what becomes of every message, while processes are killed and backends die.

    python -m tests.audit ipc
    python -m tests.audit redis --kill --restart-backend
    python -m tests.audit ipc groups --kill
    python -m tests.audit ipc growth --messages 10000000

`queues` numbers every message and afterwards names the cause of each one that was not delivered;
`groups` checks that every member gets what was sent while it was one; `growth` that nothing grows.
See docs/topics/delivery.md.
"""
