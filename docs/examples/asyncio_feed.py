"""Beside the site: an asyncio process that pushes a feed to browsers, and answers the site.

CHANNEL_LAYER=ipc://prices python asyncio_feed.py HOST PORT
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys

from wsgi_bridge import ChannelLayerError, ChannelLayerUnavailable, open_layer

logger = logging.getLogger("feed")
latest = {}


# start: feed
async def push(layer, host, port):
    """Push each line of the feed, such as `ACME 12.50`."""
    reader, writer = await asyncio.open_connection(host, port)
    with contextlib.closing(writer):
        async for line in reader:
            name, price = line.decode().split()
            latest[name] = price
            try:
                await layer.send_group_async("prices", {"text": f"{name} {price}"})
            except ChannelLayerUnavailable as error:
                logger.warning("%s was not pushed: %s", name, error)  # the next price follows


# end: feed


# start: commands
async def answer(layer):
    """Answer what the site asks: each question names the socket that is to hear the answer."""
    while True:
        try:
            _, question = await layer.receive_async(["prices.latest"])
            for name, price in latest.items():
                await layer.send_async(question["socket"], {"text": f"{name} {price}"})
        except ChannelLayerUnavailable as error:
            logger.warning("no questions for now: %s", error)
            await asyncio.sleep(1)
        except ChannelLayerError as error:
            logger.warning("a question is not answered: %s", error)  # ChannelFull: a slow socket


# end: commands


# start: main
async def main(host, port):
    layer = open_layer(os.environ["CHANNEL_LAYER"])
    work = asyncio.gather(push(layer, host, port), answer(layer))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        logger.info("told to stop")
    finally:
        layer.close()


# end: main


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
