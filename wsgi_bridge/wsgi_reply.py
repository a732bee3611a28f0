"""The way back of a WSGI response: messages on the reply channel, no faster than the client reads.

It knows nothing of WSGI: it is given response messages (MESSAGES.md section 2) and sends them, in
pieces that a layer takes, under the flow control of messages.py. Rules kept here:

- a response that fits one message is one message, without flow control
- any other names a `flow_channel` in its first message; from then on what is on its way costs at
  most WINDOW and one piece, a message counting its content and MESSAGE_COST
- a full reply channel is waited for: content is never lost, only a client or a server is
- a client that went away ends the response: it is broken off, since the server waits for its end
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

from wsgi_bridge.events.consumers import APP_RESPONSE_LOST
from wsgi_bridge.exceptions import ChannelFull, ChannelLayerError, RequestAborted
from wsgi_bridge.messages import MESSAGE_COST, RESPONSE_WINDOW
from wsgi_bridge.streams import OpenStream, is_endless

if TYPE_CHECKING:
    from wsgi_bridge.layers.base import BaseLayer
    from wsgi_bridge.outgoing import Outgoing

logger = logging.getLogger(__name__)

# Bytes that the messages on their way to the client may cost before the app has to wait.
WINDOW = RESPONSE_WINDOW
# Bytes of content in one message of several: two of them fill the window, so that one is made while
# the other is written.
PIECE_SIZE = WINDOW // 2
# Seconds without a sign of life from the server after which it is given up: it neither sent of the
# body nor wrote of the response. Servers end slow clients earlier; this is for a server that died.
# nginx's client_body_timeout and send_timeout are 60 s, gunicorn has none.
STALL_TIMEOUT = 300.0
# Seconds after which a client that went away is noticed by an app that still sends: asking the
# layer for each chunk would double what a chunk costs.
CHECK_INTERVAL = 0.1
# Seconds between two attempts at a full channel: the first, and the longest.
MIN_BACK_OFF, MAX_BACK_OFF = 0.001, 0.05

FLOW_CHANNEL = "http.response.flow?"
CLIENT_GONE = "the client went away, or was given up, while its response was written"


class Reply:
    """The reply channel of one request. Owned by the greenlet or thread that runs the app.

    ``send`` blocks while the client does not read, and raises RequestAborted when it went away or
    read nothing for ``stall_timeout`` seconds.
    """

    __slots__ = ("_channel", "_checked", "_content_sent", "_flow_channel", "_layer", "_on_the_way",
                 "_outgoing", "_stall_timeout", "_stream", "_unreported")  # fmt: skip

    def __init__(
        self,
        layer: BaseLayer,
        channel: str,
        stall_timeout: float = STALL_TIMEOUT,
        outgoing: Outgoing | None = None,
    ) -> None:
        self._layer = layer
        self._channel = channel
        self._stall_timeout = stall_timeout
        self._flow_channel = ""
        self._outgoing = outgoing

    def send(self, message: dict[str, Any]) -> None:
        """Send one response message, which has ``content`` and ``more_content``.

        Raises RequestAborted; ChannelFull after ``stall_timeout`` seconds of it; whatever else the
        layer's ``send`` raises. Blocks.
        """
        if message["more_content"] or self._flow_channel or len(message["content"]) > WINDOW:
            self._send_pieces(message)
            return
        outgoing = self._outgoing
        if outgoing is not None:
            sends = [(self._channel, message)]
            if outgoing.add(self._layer, sends, partial(self._fail_late, message)):
                return
        try:
            self._layer.hand_over(self._channel, message)
        except ChannelFull:
            self._post_when_room(message)

    def _fail_late(self, message: dict[str, Any], errors: Sequence[Exception | None]) -> None:
        """Deal with a response that was put off, and could not be sent; must not wait."""
        [error] = errors
        if isinstance(error, ChannelFull):
            Thread(target=self._post_in_the_end, args=(message,), daemon=True).start()
        else:
            APP_RESPONSE_LOST.log(logger, "a response is lost: %(cause)r", cause=error)

    def _post_in_the_end(self, message: dict[str, Any]) -> None:
        try:
            self._post_when_room(message)
        except ChannelLayerError as exc:
            APP_RESPONSE_LOST.log(logger, "a response is lost: %(cause)r", cause=exc)

    def break_off(self) -> None:
        """Say that the response ends here, incomplete: the server closes the connection."""
        if self._flow_channel:
            self._stream.close()
        self.post({"closed": True})

    def hint(self, headers: list[list[bytes]]) -> None:
        """Send fields for a 103, which comes before the response."""
        self.post({"early_hints": headers})

    def post(self, message: dict[str, Any]) -> None:
        """Send a message outside the window; wait while the reply channel is full."""
        try:
            self._layer.hand_over(self._channel, message)
        except ChannelFull:
            self._post_when_room(message)

    def _post_when_room(self, message: dict[str, Any]) -> None:
        deadline = time.monotonic() + self._stall_timeout
        back_off = MIN_BACK_OFF
        while True:
            time.sleep(back_off)
            try:
                return self._layer.hand_over(self._channel, message)
            except ChannelFull:
                if time.monotonic() >= deadline:
                    raise
                back_off = min(back_off * 2, MAX_BACK_OFF)

    def _send_pieces(self, message: dict[str, Any]) -> None:
        if not self._flow_channel:
            self._open_flow(message.get("headers", ()))
            message["flow_channel"] = self._flow_channel
        content, has_more = message["content"], message["more_content"]
        for start in range(0, len(content) or 1, PIECE_SIZE):
            piece = content[start : start + PIECE_SIZE]
            message["content"] = piece
            message["more_content"] = has_more or start + PIECE_SIZE < len(content)
            self._wait_for_room()
            self.post(message)
            self._content_sent += len(piece)
            self._unreported.append((self._content_sent, len(piece) + MESSAGE_COST))
            self._on_the_way += len(piece) + MESSAGE_COST
            message = {}
        if not has_more:
            self._stream.close()

    # The window

    def _open_flow(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._flow_channel = self._layer.new_channel(FLOW_CHANNEL)
        self._checked = time.monotonic()
        self._content_sent = 0
        # (content bytes sent when this message was, what it cost), oldest first
        self._unreported: deque[tuple[int, int]] = deque()
        self._on_the_way = 0
        self._stream = OpenStream(
            self._layer,
            self._flow_channel,
            self._channel,
            is_endless=is_endless(headers),
            look=self._take_reports,
        )

    def _wait_for_room(self) -> None:
        if self._stream.is_over:  # the view was told so where it waited, and goes on all the same
            raise RequestAborted(CLIENT_GONE)
        now = time.monotonic()
        if self._on_the_way >= WINDOW // 2 or now - self._checked >= CHECK_INTERVAL:
            self._checked = now
            self._take_reports(0.0)
        while self._on_the_way >= WINDOW:
            if not self._take_reports(self._stall_timeout):
                raise RequestAborted(f"the client read nothing for {self._stall_timeout} seconds")

    def _take_reports(self, timeout: float) -> bool:
        """Take the server's reports of what went out; return whether there was any."""
        reports = self._layer.receive_many([self._flow_channel], limit=64, timeout=timeout)
        unreported = self._unreported
        for _, report in reports:
            if report.get("closed"):
                self._stream.close()
                raise RequestAborted(CLIENT_GONE)
            while unreported and unreported[0][0] <= report["sent"]:
                self._on_the_way -= unreported.popleft()[1]
        return bool(reports)
