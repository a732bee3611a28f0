"""What is said of consumers, of what they send, and of the WSGI app."""

from logging import ERROR, WARNING

from wsgi_bridge.events.event import Event
from wsgi_bridge.events.server import REPORT

_LAYER = "Bring the layer back; the cause is its own."
_MEND_APP = "Mend the app; the traceback says where."

CONSUMER_FAILED = Event(
    "consumer.failed",
    ERROR,
    "A consumer raised: a request and a handshake get a 500, a socket is closed with 1011.",
    "Mend the consumer; the traceback says where. [Errors](../topics/errors.md) says what else "
    "it may raise.",
    ("route",),
    by=("route",),
)
CONSUMER_LAYER_UNAVAILABLE = Event(
    "consumer.layer_unavailable",
    ERROR,
    "A consumer failed because the layer is away: a request gets a 503.",
    _LAYER,
    ("route",),
)
CONSUMER_TIMEOUT = Event(
    "consumer.timeout",
    ERROR,
    "A consumer in a thread took longer than its `timeout`, and was answered for. The line "
    "shows where it is.",
    "Have it wait for less, give it more time, or make it [background "
    "work](../howto/background.md).",
    ("route", "timeout", "stack"),
    by=("route",),
)
CONSUMER_NOT_PUT_OFF = Event(
    "consumer.not_put_off",
    ERROR,
    "A consumer raised `ConsumeLater`, and the message could not be scheduled: it counts as "
    "failed.",
    "The cause says why; a layer without `storage` schedules nothing.",
    ("route",),
    by=("route",),
)
CONSUMER_GIVEN_UP = Event(
    "consumer.given_up",
    ERROR,
    "A message was put off as often as its route's `retries` lets, and is given up.",
    "Look at why the consumer could not take it (level info says so each time).",
    ("route", "retries"),
    by=("route",),
)
CONSUMER_MESSAGE_LOST = Event(
    "consumer.message_lost",
    ERROR,
    "A message that a consumer sent was not taken by the layer. The consumer has ended, and "
    "does not know.",
    "See [full queues](../topics/full-queues.md); who has to know sends with `immediately=True`.",
    ("route", "channel", "times"),
    by=("route", "channel"),
)
CONSUMER_NOT_ANSWERED = Event(
    "consumer.not_answered",
    ERROR,
    "The answer to a request without a route could not be sent.",
    _LAYER,
    ("path",),
)
CONSUMER_LEAKED = Event(
    "consumer.leaked",
    ERROR,
    "A consumer in a thread let an exception out that ends threads; its thread goes on.",
    "Look at who raises it: `SystemExit` and its kin are no way to end a consumer.",
    ("channel",),
)
CONSUMER_SEND_LATE = Event(
    "consumer.send_late",
    WARNING,
    "A consumer that was given up, or had ended, sent a message; it was dropped.",
    "Have threads and greenlets that outlive a consumer send with `immediately=True`.",
    ("channel",),
)
CONSUMER_SEND_FAILED = Event(
    "consumer.send_failed",
    ERROR,
    "The layer raised something else than its own errors when a consumer's messages were put.",
    "A mistake in a layer: report it, to whoever made the layer.",
    ("channel", "messages"),
)
WORKER_RECEIVE_FAILED = Event(
    "worker.receive_failed",
    ERROR,
    "The layer raised something else than its own errors when a worker received; it is tried "
    "again.",
    "A mistake in a layer: report it, to whoever made the layer.",
)
WORKER_NOTE_FAILED = Event(
    "worker.note_failed",
    ERROR,
    "What became of a message could not be noted by who had sent it.",
    REPORT,
)
WORKER_ROUTES_UNREPORTED = Event(
    "worker.routes_unreported",
    ERROR,
    "The figures of routes could not be reported to the other processes; it is tried again.",
    REPORT,
)

APP_FAILED = Event(
    "app.failed",
    ERROR,
    "The WSGI app raised: the client gets a 500, or is cut off where it had got a part.",
    _MEND_APP,
    ("method", "path"),
)
APP_CLOSE_FAILED = Event(
    "app.close_failed",
    ERROR,
    "`close()` of what the WSGI app returned raised; the response is out.",
    _MEND_APP,
    ("method", "path"),
)
APP_LAYER_UNAVAILABLE = Event(
    "app.layer_unavailable",
    ERROR,
    "A request failed because the layer is away: it gets a 503.",
    _LAYER,
    ("method", "path"),
)
APP_NOT_ANSWERED = Event(
    "app.not_answered",
    WARNING,
    "The app had ended, and its answer could not be sent: the layer is away, or the client.",
    "If it is the layer, bring it back.",
    ("method", "path"),
)
APP_RESPONSE_LOST = Event(
    "app.response_lost",
    WARNING,
    "A response was not taken by the layer: its client waits in vain, up to `http_timeout`.",
    "See [full queues](../topics/full-queues.md), or bring the layer back.",
)
APP_RESPONSE_SHORT = Event(
    "app.response_short",
    ERROR,
    "A response ended before its Content-Length: the connection was cut, so that the client knows.",
    "Mend the app, or what changes its responses (middleware).",
    ("path", "missing"),
)
APP_RESPONSE_LONG = Event(
    "app.response_long",
    ERROR,
    "A response is longer than its Content-Length: the rest was cut.",
    "Mend the app, or what changes its responses (middleware).",
    ("path", "excess"),
)
APP_FIELD_LEFT_OUT = Event(
    "app.field_left_out",
    WARNING,
    "The app sets a hop-by-hop field, which is the server's to set. Once for each name.",
    "Have the app leave it out.",
    ("field",),
    by=("field",),
)

PRESENCE_LATE = Event(
    "presence.late",
    WARNING,
    "Who is in a group, or that somebody has gone, could not be looked up; it is later.",
    _LAYER,
    ("group", "channel"),
)
PRESENCE_EVENT_LOST = Event(
    "presence.event_lost",
    ERROR,
    "A `group.join` or `group.leave` was not taken by the layer. The table of members is right.",
    "See [full queues](../topics/full-queues.md).",
    ("channel", "group"),
)
DELAY_FAILED = Event(
    "delay.failed",
    ERROR,
    "What is due could not be put; it is tried again within a second.",
    "A mistake in a layer: report it, to whoever made the layer.",
)
DELAY_NOT_REPEATED = Event(
    "delay.not_repeated",
    ERROR,
    "What recurs on a channel (`Bridge.send_every`, a cron task) could not be scheduled; it is "
    "tried again within a minute.",
    "The cause says why.",
    ("channel",),
)
DELAY_MALFORMED = Event(
    "delay.malformed",
    ERROR,
    "Messages on `asgi.delay` were not of its form, and dropped.",
    "Mend who sends them; their form is in [messages](messages.md).",
    ("channel", "number"),
)
