"""Presence: who is in a group, as users and not as sockets.

`Group(name, presence=True).add(message, {"id": user.id, …})` says who a socket is. Whoever has
several sockets is there once. A route for `group.join` and one for `group.leave` have a consumer
called when the first socket of an id has come, and when its last one has been gone for the grace.

- `roll`: what a group does: note an arrival, look who is there.
- `register`: what the worker loop does: it finds out who has come and gone, and says so.
- `table`: who has been said to be there, and the rules by which that changes. No I/O.

Who is there is a value in the layer's storage, one for each group, which is changed by
compare-and-set: whoever makes the change, and nobody else, sends its event. The grace is a
scheduled message. docs/howto/presence.md says what is promised.
"""

from wsgi_bridge.presence.register import PresenceRegister
from wsgi_bridge.presence.roll import Member, Presence, arrive, depart, find_members, find_present
from wsgi_bridge.presence.table import GRACE, JOIN, LEAVE

__all__ = [
    "GRACE",
    "JOIN",
    "LEAVE",
    "Member",
    "Presence",
    "PresenceRegister",
    "arrive",
    "depart",
    "find_members",
    "find_present",
]
