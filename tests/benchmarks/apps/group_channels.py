"""A broadcast as Channels 4 has it: an asynchronous consumer over channels_redis.

`BENCHMARK_LAYER` is the URL of the Redis to use; the default core layer of channels_redis.
"""

import os

import django
from django.conf import settings

# redis-py's own bound of 100 fails when a thousand sockets join a group at once; and that of 5 s
# for a read when a receive has waited so long for nothing.
REDIS = os.environ["BENCHMARK_LAYER"] + "?max_connections=10000&socket_timeout=60"

settings.configure(
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            # Room for any backlog of a run: what is compared is speed, not what a full queue loses.
            "CONFIG": {"hosts": [REDIS], "capacity": 100_000},
        }
    },
    LOGGING_CONFIG=None,
)
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402  (needs the settings)


class GroupConsumer(AsyncWebsocketConsumer):
    """A member of the group from its accept on; sends every text to the whole group."""

    async def connect(self):
        await self.channel_layer.group_add("bench", self.channel_name)
        await self.accept()

    async def receive(self, text_data=None, bytes_data=None):
        await self.channel_layer.group_send("bench", {"type": "bench.message", "text": text_data})

    async def bench_message(self, event):
        await self.send(text_data=event["text"])

    async def disconnect(self, code):
        await self.channel_layer.group_discard("bench", self.channel_name)


application = GroupConsumer.as_asgi()
