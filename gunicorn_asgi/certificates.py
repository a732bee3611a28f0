"""What gunicorn's TLS settings say, read in its master: for every worker that it makes.

Read once a configuration, so at the start and in a reload (HUP). That has three uses: a key may be
readable for root only, all workers know each other's session tickets, and a certificate that cannot
be read in a reload leaves the site with the one it has.
"""

from __future__ import annotations

import ssl
from typing import Any

from gunicorn_asgi.events import TLS_CERTIFICATES_KEPT


class Certificates:
    """The TLS context of the latest configuration. Lives in the master; a child has a copy."""

    def __init__(self) -> None:
        self._cfg: Any = None
        self._context: ssl.SSLContext | None = None

    def check(self, cfg: Any) -> None:
        """Raise RuntimeError when the settings make no TLS, before anything has started."""
        try:
            self._read(cfg)
        except (OSError, ValueError, TypeError) as exc:
            raise RuntimeError(
                f"no TLS with certfile={cfg.certfile!r}, keyfile={cfg.keyfile!r}, "
                f"ca_certs={cfg.ca_certs!r}, ciphers={cfg.ciphers!r}: {exc}"
            ) from exc

    def find(self, cfg: Any, log: Any) -> ssl.SSLContext | None:
        """Return the context for a worker that is made now; None when TLS is not asked for."""
        return self._context if cfg is self._cfg else self.renew(cfg, log)

    def renew(self, cfg: Any, log: Any) -> ssl.SSLContext | None:
        """Read the files anew and return the context, the one of before if that fails."""
        try:
            self._read(cfg)
        except Exception as exc:  # the site's hook may raise anything, and would end the master
            TLS_CERTIFICATES_KEPT.log(
                log, "The certificates of before the reload are used on", cause=exc, exc_info=True
            )
            self._cfg = cfg  # once is enough to say
        return self._context

    def _read(self, cfg: Any) -> None:
        context = make_context(cfg) if cfg.is_ssl else None
        self._cfg, self._context = cfg, context


def make_context(cfg: Any) -> ssl.SSLContext:
    """Return what gunicorn's settings, and its ``ssl_context`` hook, make; raises what they do."""
    from gunicorn.sock import ssl_context

    context = ssl_context(cfg)
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"the hook ssl_context must return an SSLContext, not {context!r}")
    context.set_alpn_protocols(["http/1.1"])  # whatever was set: h2 is not spoken here
    # A client could have us do the costly half of a handshake again and again; TLS 1.3 has none.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


certificates = Certificates()
