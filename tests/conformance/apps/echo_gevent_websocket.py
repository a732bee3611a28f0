"""Echo under gevent-websocket's worker, which puts a WebSocket in the environ."""

from geventwebsocket.exceptions import WebSocketError


def application(environ, start_response):
    """Send back what comes."""
    socket = environ["wsgi.websocket"]
    try:
        while (message := socket.receive()) is not None:
            socket.send(message, binary=not isinstance(message, str))
    except WebSocketError:
        pass
    return []
