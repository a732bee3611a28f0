"""What channel layers say: what was lost and what is away."""

from logging import ERROR, WARNING

from wsgi_bridge.events.event import Event
from wsgi_bridge.events.server import REPORT

_FULL = "See [full queues](../topics/full-queues.md)."

LAYER_GROUP_FULL = Event(
    "layer.group_full",
    WARNING,
    "A message to a group is lost for members that the process behind one channel has: as many "
    "wait there as may.",
    "The server behind that channel is too slow, or gone; or more is sent than it can write. "
    f"{_FULL}",
    ("group", "channel", "members"),
    by=("channel",),
)
LAYER_UNDECODABLE = Event(
    "layer.undecodable",
    WARNING,
    "What was received cannot be decoded or decrypted, and is dropped.",
    "See that all processes have the same keys (`symmetric_encryption_keys`) and version, and "
    "that nobody else writes there.",
    ("channel",),
)
LAYER_CUT_OFF = Event(
    "layer.cut_off",
    WARNING,
    "The layer that processes share is away. A process that serves its own requests goes on "
    "with them; groups and what crosses processes wait or fail. Said once until it is back.",
    "Bring the layer back: the cause is its own.",
    lines=1,
)
IPC_WAKE_FAILED = Event(
    "ipc.wake_failed",
    WARNING,
    "A process that waits for a message could not be told of it; it looks again within a second.",
    "Look at the rights on the layer's directory, and at the limit of open files.",
    ("place",),
)
IPC_THREAD_FAILED = Event(
    "ipc.thread_failed",
    ERROR,
    "The thread that wakes the receivers of an ipc layer failed once; it goes on.",
    REPORT,
)
IPC_FINALIZER_FAILED = Event(
    "ipc.finalizer_failed",
    ERROR,
    "What an object that was thrown away had left to do on an ipc layer failed.",
    REPORT,
)
REDIS_UNREACHABLE = Event(
    "redis.unreachable",
    WARNING,
    "A Redis server does not answer. Said once until it is back, which is said at level info.",
    "Bring it back; meanwhile requests get a 503. Sockets stay open.",
    ("shard",),
    by=("shard",),
)
REDIS_OUT_OF_MEMORY = Event(
    "redis.out_of_memory",
    WARNING,
    "Redis takes no more (`maxmemory`): to who sends, the channel is full.",
    "Give Redis more memory, or lower `expiry` and `capacity`.",
    ("channel",),
    lines=1,
)
REDIS_MESSAGE_LOST = Event(
    "redis.message_lost",
    WARNING,
    "A message that was sent without waiting for Redis was not taken.",
    f"The cause says whether its channel was full or Redis away. {_FULL}",
    ("channel",),
)
REDIS_UNCOUNTED = Event(
    "redis.uncounted",
    WARNING,
    "Messages were dropped as undecodable, and the figure could not be kept: Redis went away.",
    "Nothing: `layer.undecodable` says what matters.",
    ("number",),
)
REDIS_MEMBERS_STALE = Event(
    "redis.members_stale",
    WARNING,
    "Who is in a group could not be asked for: messages go to the members as last known.",
    "Look at Redis, which went away in between.",
    ("channel",),
    lines=1,
)
REDIS_NOT_DONE = Event(
    "redis.not_done",
    WARNING,
    "Something that nobody waits for, such as leaving a group, was not done: Redis is away. "
    "What is left behind expires.",
    "Look at Redis.",
    ("job",),
)
REDIS_THREAD_FAILED = Event(
    "redis.thread_failed",
    ERROR,
    "A thread that receives from a shard of Redis, or keeps what is there alive, failed once; "
    "it goes on.",
    REPORT,
    ("shard",),
)
