"""Echo of an app that takes the socket for itself, with simple-websocket, as flask-sock does."""

from simple_websocket import ConnectionClosed, Server


def application(environ, start_response):
    """Talk over the socket until the client leaves."""
    socket = Server.accept(environ)
    try:
        while True:
            socket.send(socket.receive())
    except ConnectionClosed:
        raise StopIteration from None  # gunicorn: the socket is the app's
