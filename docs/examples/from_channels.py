"""What was an AsyncJsonWebsocketConsumer of Channels. The old lines stand in the comments."""

from flask import Flask

from wsgi_bridge import Bridge, JsonWebsocketConsumer, route_class

site = Flask(__name__)  # or get_wsgi_application()


class Chat(JsonWebsocketConsumer):
    """A room, named by the URL: self.scope["url_route"]["kwargs"]["room"] becomes an argument."""

    def connection_groups(self, *, room):  # await channel_layer.group_add(…)
        return [f"chat-{room}"]

    def receive(self, content, *, room):  # async def receive_json(self, content)
        # await self.channel_layer.group_send(…, {"type": "chat.message", …}), and chat_message()
        self.group_send(f"chat-{room}", {"text": content["text"]})


# URLRouter([re_path(r"^chat/(?P<room>\w+)/$", Chat.as_asgi())]), inside ProtocolTypeRouter
application = Bridge(site, routing=[route_class(Chat, path=r"^/chat/(?P<room>\w+)/$")])
