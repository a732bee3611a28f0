"""A soak: a site under mixed traffic for half an hour, and nothing of it may grow or go wrong.

    python -m tests.soak --seconds 1800

The traffic is that of a day in small: pages, uploads, streams, sockets that come and go, clients
that are slow, malformed or gone (`traffic`, and the modules that it names). The site is reloaded
each minute, and a worker is killed now and then (`run`). What each process holds is sampled each
second (`samples`). Afterwards three things are asked:

- has anything grown (`growth`),
- was anything logged that nobody provoked (`complaints`),
- did anything fail that should not have (`ledger`)?
"""
