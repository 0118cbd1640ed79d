"""The HTTP side of the record: /_local/invocations and /_local/requests. Not part of AWS's API.
Knows nothing of how invocations run."""

from __future__ import annotations

from aiohttp import web

from lambda_sidecar.local.record import OpenRequests, Record


class RecordApi:
    """Serves the record as JSON, behind the same guard as Invoke."""

    def __init__(self, record: Record, requests: OpenRequests) -> None:
        self._record = record
        self._requests = requests

    def routes(self) -> list[web.RouteDef]:
        """GET and DELETE of both resources; a DELETE of the invocations also starts most_open anew."""
        return [
            web.get("/_local/invocations", self._invocations),
            web.delete("/_local/invocations", self._forget),
            web.get("/_local/requests", self._open_requests),
            web.delete("/_local/requests", self._reset),
        ]

    async def _invocations(self, request: web.Request) -> web.Response:
        return web.json_response(self._record.entries(request.query.get("function")))

    async def _forget(self, request: web.Request) -> web.Response:
        self._record.clear()
        return await self._reset(request)

    async def _open_requests(self, request: web.Request) -> web.Response:
        return web.json_response({"open": self._requests.open, "most_open": self._requests.most_open})

    async def _reset(self, request: web.Request) -> web.Response:
        self._requests.reset()
        return web.Response(status=204)
