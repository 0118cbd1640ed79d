"""An HTTP server that plays STS: counts what it is asked, hands out keys that say what they are for.

Real sockets; knows nothing of the sidecar."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from tests.support.lambda_endpoint import Handler, lambda_endpoint

SECRET = "canary-secret-key"
TOKEN = "canary-session-token"
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


@dataclass
class StsEndpoint:
    """`requests` are the AssumeRole requests (and those with a web identity) in order; the n-th is answered with the key ASIA000n."""

    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    callers: int = 0
    signed_by: list[str] = field(default_factory=list)  # their access key ids, "" for an unsigned request
    error: tuple[int, str, str] | None = None  # status, code and message instead of an answer
    garbage: bytes | None = None  # a body instead of an answer
    lifetime: float | None = None  # instead of DurationSeconds
    clock: Callable[[], float] = time.time
    gate: threading.Event = field(default_factory=threading.Event)  # answers wait while it is not set
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, handler: Handler, request: dict[str, str]) -> None:
        if self.garbage is not None:
            handler.reply(200, self.garbage)
            return
        if request["Action"] == "GetCallerIdentity":
            self.callers += 1
            handler.reply(*self._error_or(_identity()))
            return
        with self.lock:
            self.requests.append(request)
            self.signed_by.append(key_in(handler.headers.get("Authorization", "")))
            number = len(self.requests)
        self.gate.wait(20)
        handler.reply(*self._error_or(self._credentials(request, number)))

    def _error_or(self, body: str) -> tuple[int, bytes]:
        if self.error is None:
            return 200, body.encode()
        status, code, message = self.error
        error = f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>"
        return status, f'<ErrorResponse xmlns="{_NAMESPACE}"><Error>{error}</Error></ErrorResponse>'.encode()

    def _credentials(self, request: dict[str, str], number: int) -> str:
        lifetime = self.lifetime if self.lifetime is not None else float(request.get("DurationSeconds", 3600))
        expires = datetime.fromtimestamp(self.clock() + lifetime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        role = request["RoleArn"].split("/")[-1]
        arn = f"arn:aws:sts::123456789012:assumed-role/{role}/{request['RoleSessionName']}"
        action = request["Action"]
        return (
            f'<{action}Response xmlns="{_NAMESPACE}"><{action}Result><Credentials>'
            f"<AccessKeyId>{key(number)}</AccessKeyId><SecretAccessKey>{SECRET}-{number}</SecretAccessKey>"
            f"<SessionToken>{TOKEN}-{number}</SessionToken><Expiration>{expires}</Expiration></Credentials>"
            f"<AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>"
            f"</{action}Result></{action}Response>"
        )


def key(number: int) -> str:
    """The access key id of the n-th AssumeRole."""
    return f"ASIA{number:012}"


def key_in(authorization: str) -> str:
    """The access key id of a signature; empty where there is none."""
    found = re.search(r"Credential=([^/]+)/", authorization)
    return found[1] if found else ""


def _identity() -> str:
    arn = "arn:aws:iam::123456789012:user/sidecar"
    result = f"<Arn>{arn}</Arn><UserId>AIDA</UserId><Account>123456789012</Account>"
    return (
        f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}"><GetCallerIdentityResult>{result}'
        "</GetCallerIdentityResult></GetCallerIdentityResponse>"
    )


@contextlib.contextmanager
def sts_endpoint(*, port: int = 0) -> Iterator[StsEndpoint]:
    """Serves on a free loopback port, or on that one."""
    sts = StsEndpoint()
    sts.gate.set()

    def answer(handler: Handler) -> None:
        sts.answer(handler, dict(parse_qsl(handler.body.decode())))

    with lambda_endpoint(answer, port=port) as endpoint:
        sts.url = endpoint.url
        try:
            yield sts
        finally:
            sts.gate.set()
