"""The protocol server for uWSGI: planned, not written yet.

It will hand the WebSockets of plain WSGI workers to mules that run the connections of
``wsgi_bridge.server``. Until then this package has nothing to import. On uWSGI a
:class:`wsgi_bridge.Bridge` is a plain WSGI callable, which answers WebSocket URLs with 426.
"""
