"""What others are to say of one request, should this process be killed while it is at work."""

from __future__ import annotations

from wsgi_bridge.server.request_body import RequestBody
from wsgi_bridge.server.response_flow import ResponseFlow
from wsgi_bridge.server.wills import Wills


class RequestWill:
    """The will of one request. Owned by its connection; see ``wsgi_bridge.server.wills``."""

    __slots__ = ("_concerned", "_gone", "_wills")

    def __init__(self, wills: Wills, reply_channel: str, path: str) -> None:
        self._wills = wills
        self._gone = {"reply_channel": reply_channel, "path": path}
        self._concerned: tuple[str | None, str | None] | None = None  # nothing was left yet

    def renew(self, flow: ResponseFlow | None, body: RequestBody | None) -> None:
        """Leave it, unless what was left is what would be."""
        concerned = (
            None if flow is None else flow.channel,
            None if body is None or body.is_complete else body.channel,
        )
        if concerned != self._concerned:
            self._concerned = concerned
            self._wills.leave_for_request(dict(self._gone), *concerned)

    def revoke(self) -> None:
        """Say nothing more of it."""
        self._wills.revoke(self._gone["reply_channel"])
