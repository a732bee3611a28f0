"""What becomes of each of gunicorn's settings: one table, which is also the documentation's source.

``check_settings`` is what the workers' ``check_config`` call: it refuses what cannot be done, and
says what is without effect. A test holds the table against the gunicorn that is installed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from gunicorn_asgi.events import SETTING_WITHOUT_EFFECT


class Kind(enum.Enum):
    """What becomes of a setting; the value is the table's word."""

    OWN = "gunicorn's own"  # the master, or gunicorn's base worker, does it
    HONOURED = "honoured"
    REFUSED = "refused"  # at the start, with the note
    NOTHING = "without effect"  # a warning with the note, where it is set


OWN, HONOURED, REFUSED, NOTHING = Kind


@dataclass(frozen=True)
class Rule:
    """One setting: its kind, and why, or how."""

    kind: Kind
    note: str = ""


def _same(kind: Kind, note: str, *names: str) -> dict[str, Rule]:
    return {name: Rule(kind, note) for name in names}


_NO_HTTP2 = "This worker speaks HTTP/1.1 only: have nginx speak HTTP/2, or leave the setting out."
_ONLY_HTTP2 = "Of HTTP/2, which this worker does not speak."
_ONLY_ASGI = "Of gunicorn's own asgi worker."
_LENIENT = "As gunicorn's own parser. Leave it off: it makes requests of what others refuse."

SETTINGS: dict[str, Rule] = {
    **_same(OWN, "The master reads it.", "config", "wsgi_app", "paste", "raw_paste_global_conf",
            "check_config", "print_config", "spew", "chdir", "pythonpath", "raw_env", "preload_app",
            "bind", "backlog", "reuse_port", "workers", "worker_class", "daemon", "pidfile",
            "user", "group", "umask", "initgroups", "worker_tmp_dir", "proc_name",
            "default_proc_name"),
    **_same(OWN, "The control socket is the master's.", "control_socket", "control_socket_disable",
            "control_socket_mode"),
    **_same(OWN, "Dirty workers are processes beside this one.", "dirty_apps",
            "dirty_graceful_timeout", "dirty_threads", "dirty_timeout", "dirty_workers",
            "dirty_post_fork", "dirty_worker_exit", "dirty_worker_init", "on_dirty_starting"),
    **_same(OWN, "The master calls it.", "on_starting", "on_reload", "when_ready", "pre_fork",
            "post_fork", "child_exit", "worker_exit", "nworkers_changed", "on_exit", "pre_exec"),
    **_same(OWN, "gunicorn's base worker calls it.", "post_worker_init", "worker_abort"),
    **_same(OWN, "gunicorn's logger does it.", "loglevel", "logger_class", "logconfig",
            "logconfig_dict", "logconfig_json", "capture_output", "enable_stdio_inheritance",
            "syslog", "syslog_addr", "syslog_facility", "syslog_prefix", "statsd_prefix",
            "dogstatsd_tags", "enable_backlog_metric"),
    **_same(HONOURED, "Lines for requests and for WebSockets, through gunicorn's logger.",
            "accesslog", "access_log_format", "disable_redirect_access_to_syslog"),
    **_same(HONOURED, "Requests and WebSockets when they end, and once a second the gauges "
            "`gunicorn.connections` and `gunicorn.websockets`, of all workers together.",
            "statsd_host"),
    **_same(HONOURED, "A change stops the worker gracefully.", "reload", "reload_engine",
            "reload_extra_files"),
    **_same(HONOURED, "Also for what the packages say, unless the site configures logging "
            "itself; and, when it is a file, for `wsgi.errors`.", "errorlog"),
    **_same(HONOURED, "Called as the worker stops at once.", "worker_int"),
    **_same(HONOURED, "Called where the site's app runs, around its requests; not for WebSockets "
            "and requests with a route. The default is skipped.", "pre_request", "post_request"),
    **_same(HONOURED, "Consumers in so many native threads, when more than one.", "threads"),
    **_same(HONOURED, "Past it new connections wait in the backlog.", "worker_connections"),
    **_same(HONOURED, "The request that reaches it is its connection's last; then the worker is "
            "replaced.", "max_requests", "max_requests_jitter"),
    **_same(HONOURED, "The time between two requests; 0: one request each.", "keepalive"),
    **_same(HONOURED, "A stop is done before nine tenths of it.", "graceful_timeout"),
    **_same(HONOURED, "As a heartbeat, not as a limit on requests.", "timeout"),
    **_same(HONOURED, "0 means 8190, the ceiling, not no limit; past it 414.",
            "limit_request_line"),
    **_same(HONOURED, "Trailers count, and so does what `header_map` drops; past it 431.",
            "limit_request_fields"),
    **_same(HONOURED, "Also of a chunk's size line; past it 431.", "limit_request_field_size"),
    **_same(HONOURED, "Of requests and WebSocket handshakes.", "forwarded_allow_ips",
            "secure_scheme_headers"),
    **_same(HONOURED, "A field that is dropped is dropped for consumers, too.", "header_map"),
    **_same(HONOURED, "`SCRIPT_NAME` mounts the site; the others become `HTTP_…` variables.",
            "forwarder_headers"),
    **_same(HONOURED, "Sets the client's address, `PROXY_PROTOCOL`, `PROXY_ADDR` and "
            "`PROXY_PORT`. `UNKNOWN` and health checks leave the socket's own address. With TLS it "
            "comes before the handshake.",
            "proxy_protocol", "proxy_allow_ips"),
    **_same(HONOURED, _LENIENT, "permit_obsolete_folding", "strip_header_spaces",
            "permit_unconventional_http_method", "casefold_http_method"),
    **_same(REFUSED, "What frames a message of another version is not known: the worker serves "
            "HTTP/1.0 and 1.1 only. Leave it out.", "permit_unconventional_http_version"),
    **_same(HONOURED, "HTTPS and wss, HTTP/1.1 only. Files are read again at a reload.",
            "certfile", "keyfile", "ca_certs", "cert_reqs", "ciphers", "ssl_context"),
    **_same(NOTHING, "The handshake never blocks, and has `tls_timeout`.",
            "do_handshake_on_connect", "suppress_ragged_eofs"),
    **_same(NOTHING, "Nothing in gunicorn reads it either: the hook `ssl_context` has the say.",
            "ssl_version"),
    **_same(REFUSED, "This worker reads HTTP: have nginx say `proxy_pass`, not `uwsgi_pass`, or "
            "leave the setting out.", "protocol"),
    **_same(NOTHING, "Of the uwsgi protocol, which is refused.", "uwsgi_allow_ips"),
    **_same(REFUSED, _NO_HTTP2, "http_protocols", "http2_cleartext"),
    **_same(NOTHING, _ONLY_HTTP2, "http2_initial_window_size", "http2_max_concurrent_streams",
            "http2_max_frame_size", "http2_max_header_list_size"),
    **_same(NOTHING, "The worker has a parser of its own.", "http_parser"),
    **_same(NOTHING, "A response goes through the channel layer: a file is read in pieces, as the "
            "client takes them.", "sendfile"),
    **_same(NOTHING, "Nothing in gunicorn reads it either.", "tmp_upload_dir"),
    **_same(NOTHING, _ONLY_ASGI, "asgi_loop", "asgi_lifespan", "asgi_disconnect_grace_period"),
    **_same(NOTHING, f"{_ONLY_ASGI} Set the variable SCRIPT_NAME.", "root_path"),
    **_same(NOTHING, f"{_ONLY_ASGI} Say `Bridge(max_message_size=…)`.",
            "websocket_max_message_size"),
}  # fmt: skip


def check_settings(cfg: Any, log: Any, worker: str) -> None:
    """Refuse what ``worker`` cannot do (RuntimeError); warn of what has no effect.

    A setting is asked for when it is not gunicorn's default. What a later gunicorn brings is not
    known here, and passes.
    """
    if cfg.worker_connections < 1:
        raise RuntimeError(
            f"worker_connections={cfg.worker_connections} leaves room for nobody: say how many "
            "connections a worker may have at once, 1000 for instance"
        )
    for name, rule in SETTINGS.items():
        if rule.kind is REFUSED and _is_asked(cfg, name):
            raise RuntimeError(f"{worker} does not do {name}. {rule.note}")
    _warn(cfg, log, worker, NOTHING)


def warn_of_settings(cfg: Any, log: Any, worker: str) -> None:
    """Warn, at a reload, of what has no effect and of what a start would refuse.

    gunicorn asks nobody then; an exception would end its master, and with it the site.
    """
    _warn(cfg, log, worker, REFUSED, NOTHING)


def _warn(cfg: Any, log: Any, worker: str, *kinds: Kind) -> None:
    for name, rule in SETTINGS.items():
        if rule.kind in kinds and _is_asked(cfg, name):
            SETTING_WITHOUT_EFFECT.log(
                log,
                "%(setting)s is without effect with %(worker)s. %(cause)s",
                cause=rule.note,
                setting=name,
                worker=worker,
            )


def _is_asked(cfg: Any, name: str) -> bool:
    setting = cfg.settings.get(name)  # None: of another gunicorn
    return setting is not None and setting.get() != type(setting)().get()
