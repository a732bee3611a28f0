"""A broadcast as a raw ASGI app: a set of the process's own sockets, and a loop that sends.

No channel layer, nothing crosses a process: what remains when only the server's work is left.
"""

MEMBERS = set()


async def application(scope, receive, send):
    """Accept, then send every text to all sockets of this process."""
    await receive()
    await send({"type": "websocket.accept"})
    MEMBERS.add(send)
    try:
        while (event := await receive())["type"] == "websocket.receive":
            answer = {"type": "websocket.send", "text": event["text"]}
            for member in tuple(MEMBERS):
                await member(answer)
    finally:
        MEMBERS.discard(send)
