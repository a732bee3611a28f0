"""The ipc channel layer: several processes of one machine, with nothing to install or to start.

    ipc://NAME      a private directory of that name; every process of this user that uses it meets
    ipc:///path     that very directory

From the bottom up, each file knowing only those before it:

    directory    where the files are, who may use them, how large they may get
    store        LMDB: transactions, errors, one environment for each process and directory
    records      keys and values of the store
    session      what one transaction works on: the records of channels, read once, written once
    membership   groups: rows of the store, and the copy that the owner of a reader keeps
    queues       putting, taking, expiring
    figures      statistics, and the sweeping of what is idle
    values, schedule, logs, wills  what the storage keeps
    sweep        dropping what of it has expired
    introspection  every channel, group and process, for who looks from outside
    doorbell     datagrams that wake other processes
    attachment   what this process shares of a directory: store, doorbell, its place, its listeners
    hearer       a native thread that hears for itself
    gathering    what the greenlets of one turn of the hub send, in one transaction
    storage      the contract of `layers.storage_base`
    layer        the contract of `layers.base`

docs/topics/ipc.md says which operation does what, and what is left when a process dies.
"""

from __future__ import annotations

from wsgi_bridge.layers.ipc.layer import IpcLayer

__all__ = ["IpcLayer"]
