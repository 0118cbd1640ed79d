"""A Lambda that answers everything at once and remembers nothing, so that it does not grow itself.

Real sockets; knows the Invoke operation and lambda_batch's first contract."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from tests.support.http_answerer import HttpConnection, http_answerer


class _Connection(HttpConnection):
    def received(self, target: str, headers: dict[str, str], body: bytes) -> None:
        if headers["x-amz-invocation-type"] == "Event":
            status, answer = "202 Accepted", b""
        elif "rows" in target:
            rows = len(json.loads(body)["arguments"])
            status, answer = "200 OK", json.dumps({"success": True, "results": [1] * rows}).encode()
        else:
            status, answer = "200 OK", body
        head = f"HTTP/1.1 {status}\r\nx-amzn-RequestId: r-1\r\nX-Amz-Executed-Version: 1\r\n"
        self.write(f"{head}Content-Length: {len(answer)}\r\n\r\n".encode() + answer)


@contextlib.contextmanager
def forgetful_endpoint() -> Iterator[str]:
    """Its URL."""
    with http_answerer(_Connection) as url:
        yield url
