"""What the gunicorn workers say. Its own words are those of `wsgi_bridge.events`."""

from logging import ERROR, WARNING

from wsgi_bridge.events.event import EACH, Event

HTTP_INVALID_REQUEST = Event(
    "http.invalid_request",
    WARNING,
    "A request was refused as it is: malformed, too large, too slow, or of a kind that is not "
    "served. The cause says which.",
    "Nothing: the internet is like this. If it is a client of yours, mend it.",
    ("ip",),
)
HTTP_INVALID_PROXY_HEADER = Event(
    "http.invalid_proxy_header",
    WARNING,
    "What came before a TLS handshake is no PROXY header: the connection was closed.",
    "See that the proxy speaks the version of `proxy_protocol`, and that nobody else can connect.",
    ("ip",),
)
HTTP_HOOK_FAILED = Event(
    "http.hook_failed",
    ERROR,
    "gunicorn's `post_request` hook raised; the response is out.",
    "Mend the hook.",
)
TLS_HANDSHAKE_FAILED = Event(
    "tls.handshake_failed",
    WARNING,
    "A client and the server did not agree on TLS.",
    "Nothing, if they are few: scanners. Else see the certificate, `ciphers` and what the hook "
    "`ssl_context` asks for.",
    ("ip",),
)
TLS_CERTIFICATES_KEPT = Event(
    "tls.certificates_kept",
    ERROR,
    "The certificates could not be read anew at a reload: those of before are used on.",
    "Mend the files, and reload again.",
    lines=EACH,
)
CONNECTION_ADDRESS_FULL = Event(
    "connection.address_full",
    WARNING,
    "An address has `max_connections_per_address`, and gets no more. Once until it has none left.",
    "If it is a proxy or an office, trust it (`forwarded_allow_ips`) or allow more.",
    ("ip", "limit"),
)
CONNECTION_ACCEPT_PAUSED = Event(
    "connection.accept_paused",
    ERROR,
    "The process or the system is out of descriptors: open connections go on, new ones wait in "
    "the backlog. Once until it is over.",
    "Raise the limit of open files (`ulimit -n`, systemd's `LimitNOFILE`), or have more workers.",
)
WORKER_UNFINISHED = Event(
    "worker.unfinished",
    WARNING,
    "A worker ends at its `graceful_timeout` with connections or consumers unfinished.",
    "Give `graceful_timeout` what the longest of them needs; see [stopping](../topics/stop.md).",
    ("connections", "consumers"),
    lines=EACH,
)
WORKER_KILLED_BUSY = Event(
    "worker.killed_busy",
    ERROR,
    "A worker of `SplitWorker` died while it was at consumers; those who wait are told.",
    "`busy` names them. SIGKILL is often the kernel, out of memory.",
    ("pid", "busy"),
    lines=EACH,
)
WORKER_SITE_NOT_LOADED = Event(
    "worker.site_not_loaded",
    ERROR,
    "A worker that came later, by a reload or for one that ended, cannot load the site; it is "
    "tried again each second, and gunicorn and its other workers stay.",
    "Mend the site; the traceback says where.",
    lines=EACH,
)
WORKER_NO_SERVERS = Event(
    "worker.no_servers",
    WARNING,
    "No worker holds sockets any more: one that runs consumers ends so that a server is made.",
    "Find out why the servers ended.",
    lines=EACH,
)
WORKER_LEAST = Event(
    "worker.least",
    WARNING,
    "Fewer workers were asked for than `SplitWorker` needs; none is ended.",
    "Stop asking (`TTOU`), or set `ASGI_SERVERS` lower.",
    ("workers",),
    lines=EACH,
)
WORKER_SERVERS_INVALID = Event(
    "worker.servers_invalid",
    ERROR,
    "`ASGI_SERVERS` cannot be used, at a reload; the default is.",
    "Mend its value.",
    lines=EACH,
)
WORKER_TOO_FEW = Event(
    "worker.too_few",
    ERROR,
    "A reload asks for fewer workers than `SplitWorker` needs; one more is made.",
    "Mend `workers`.",
    ("workers",),
    lines=EACH,
)
SETTING_WITHOUT_EFFECT = Event(
    "setting.without_effect",
    WARNING,
    "A setting of gunicorn's has no effect with this worker.",
    "Leave it out; [settings](settings.md) says what there is instead.",
    ("setting", "worker"),
    lines=EACH,
)
SETTING_MISPLACED = Event(
    "setting.misplaced",
    WARNING,
    "A setting of `Bridge` is in gunicorn's configuration file, or a variable that begins with "
    "`ASGI_` is nearly one: neither is read.",
    "Give it to `Bridge`, or in the variable that is named (gunicorn's `raw_env` sets variables).",
    ("setting", "variable"),
    lines=EACH,
)
LAYER_NOT_SHARED = Event(
    "layer.not_shared",
    WARNING,
    "Several workers with the memory layer: a group reaches only the sockets of its own worker.",
    "Name a layer that joins them, such as `CHANNEL_LAYER=ipc://mysite`.",
    ("workers",),
    lines=EACH,
)
