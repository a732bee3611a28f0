"""WebSocket echo as a raw ASGI app: the least that an ASGI server can be asked to run."""


async def application(scope, receive, send):
    """Accept, then send every text back."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] != "websocket.receive":
            return
        await send({"type": "websocket.send", "text": event["text"]})
