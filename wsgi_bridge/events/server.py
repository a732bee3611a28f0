"""What protocol servers say: of clients, and of what the server itself could not do.

The failures of the last part are of code that is not to fail: what raised is in the traceback, the
server goes on with the next connection.
"""

from logging import ERROR, WARNING

from wsgi_bridge.events.event import Event

REPORT = "A mistake in this package: please report it with its traceback."

CONNECTION_STALLED = Event(
    "connection.stalled",
    WARNING,
    "Clients took less than `min_write_rate` of their answer in `write_timeout`, and were cut "
    "off. Once for all of a second.",
    "Nothing, if they are few: lines break, and some clients are hostile. If many, look at what "
    "is between them and the server.",
    ("clients", "rate", "timeout"),
    lines=1,
)
SERVER_FEW_DESCRIPTORS = Event(
    "server.few_descriptors",
    WARNING,
    "The process may not open as many files as connections are asked for.",
    "Raise the limit of open files (`ulimit -n`, systemd's `LimitNOFILE`).",
    ("connections", "wanted", "setting", "limit"),
)
HTTP_SLOW_CLIENT = Event(
    "http.slow_client",
    WARNING,
    "A client does not read a response that its consumer streams without a window; it was cut off.",
    "See [slow clients](../topics/slow-clients.md): stream with a flow channel.",
    ("request",),
)
WEBSOCKET_SLOW_CLIENT = Event(
    "websocket.slow_client",
    WARNING,
    "A socket's client does not read, and as much waits for it as `write_buffer` lets: it is "
    "closed with 1013, and comes back.",
    "See [slow clients](../topics/slow-clients.md): send less, make `write_buffer` larger, or "
    "have the policy `drop`.",
    ("path", "waiting"),
)
WEBSOCKET_INVALID_ANSWER = Event(
    "websocket.invalid_answer",
    ERROR,
    "What a consumer sent to a socket is no answer to it: the handshake gets a 500, an open "
    "socket is closed with 1011.",
    "Mend the consumer; the cause says what is wrong with the message.",
    ("path",),
)
WEBSOCKET_ANSWER_IGNORED = Event(
    "websocket.answer_ignored",
    WARNING,
    "A part of an answer was left out: it had both text and bytes, or a close code that no "
    "endpoint may send.",
    "Mend the consumer; [the codes](codes.md) that it may send.",
    ("path",),
)
WEBSOCKET_UNACKNOWLEDGED = Event(
    "websocket.unacknowledged",
    WARNING,
    "No worker has acknowledged events of a socket within the layer's `expiry`: they count as "
    "lost, and the socket goes on.",
    "Look at what the consumers do for so long, or whether there are any.",
    ("path", "number"),
)
WEBSOCKET_EVENT_LOST = Event(
    "websocket.event_lost",
    WARNING,
    "The worker process that had taken an event of a socket died. It is counted, and not tried "
    "again, for it may have been half done.",
    "Find out why the process died: `worker.died` or `worker.killed_busy` names it.",
    ("path",),
)
HTTP_INVALID_RESPONSE = Event(
    "http.invalid_response",
    ERROR,
    "What a consumer answered to a request is no response: the client gets a 500, or is cut off "
    "where it had got a part.",
    "Mend the consumer; the cause says what is wrong with the message.",
    ("request",),
)

CONNECTION_STOP_FAILED = Event(
    "connection.stop_failed",
    ERROR,
    "A connection could not be closed as the server stops; the others are.",
    REPORT,
)
CONNECTION_DELIVERY_FAILED = Event(
    "connection.delivery_failed",
    ERROR,
    "A reply, or a message to a group, could not be handed to a connection; the others get theirs.",
    REPORT,
    ("channel",),
)
SERVER_JOB_FAILED = Event(
    "server.job_failed",
    ERROR,
    "A consumer or another job of the server's pool let an exception out that ends processes.",
    "Look at who raises it: `SystemExit` and its kin are no way to end a consumer.",
)
SERVER_DEADLINE_FAILED = Event(
    "server.deadline_failed",
    ERROR,
    "What a deadline asks for failed, of a connection or of a consumer.",
    REPORT,
)
SERVER_TICK_FAILED = Event(
    "server.tick_failed",
    ERROR,
    "Something that the server does every tick failed; it is tried again with the next.",
    REPORT,
)
SERVER_NOTE_FAILED = Event(
    "server.note_failed",
    ERROR,
    "Whether a message was taken by the layer could not be noted by who had sent it.",
    REPORT,
)
SERVER_RETRY_FAILED = Event(
    "server.retry_failed",
    ERROR,
    "A message that found its channel full could not be tried again.",
    REPORT,
)
SERVER_METRICS_FAILED = Event(
    "server.metrics_failed",
    ERROR,
    "The page of `metrics_path` could not be made; it was answered with 500.",
    REPORT,
)
SERVER_FIGURES_FAILED = Event(
    "server.figures_failed",
    ERROR,
    "What a process counts could not be published to the others; it is tried again.",
    REPORT,
)
