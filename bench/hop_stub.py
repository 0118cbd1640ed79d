"""The stub behind the gRPC hop: `lambda-sidecar serve`, but each call is answered with its own payload.

Socket, gRPC server and streams are the sidecar's own code; nothing is checked, signed or invoked.
Takes the sidecar's command line. If service.py or server.py changes its seams, this file follows."""

from __future__ import annotations

import os
import sys

from lambda_sidecar import cli

os.environ.setdefault("GRPC_EXPERIMENTS", cli.GRPC_EXPERIMENTS)  # as serve does, before gRPC is imported

from lambda_sidecar import server
from lambda_sidecar.concurrency.slots import Share
from lambda_sidecar.contract import service
from lambda_sidecar.contract.message import LARGE, LargeResponse, LargeResult, Request, Response, Result
from lambda_sidecar.contract.stream import Answers


class Stub(service.LambdaInvoker):
    """The sidecar's service, minus the call."""

    async def answer(
        self, request: Request, payload: bytes, share: Share, answers: Answers | None = None
    ) -> Response | LargeResponse:
        result = Result(status_code=200)
        if len(payload) >= LARGE:
            return LargeResponse(Response(call_id=request.call_id), LargeResult(result, payload))
        result.payload = payload
        return Response(call_id=request.call_id, result=result)


if __name__ == "__main__":
    vars(server)["LambdaInvoker"] = Stub
    sys.exit(cli.main())
