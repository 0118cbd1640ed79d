"""Who calls the kit's endpoint: the keys that were handed out, and the MySQL account of each.

Plays STS for one sidecar; knows nothing of HTTP servers. Believes only requests with a right signature
(Version 4, which botocore checks, not the sidecar's own signer)."""

from __future__ import annotations

import hmac
import re
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lambda_sidecar.local.errors import ApiError, forbidden
from lambda_sidecar.testing.function_name import ACCOUNT_ID

ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/lambda-udf-testing"
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>\w+)/\d{8}/(?P<region>[\w-]+)/(?P<service>\w+)/aws4_request,"
    r" ?SignedHeaders=(?P<headers>[\w;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Session:
    """A key, and the account that it stands for: `account` is user@host, or None for the sidecar itself."""

    key: str
    secret: str
    token: str | None
    account: str | None


class Sessions:
    """The sidecar's own key, and one more for every AssumeRole."""

    def __init__(self) -> None:
        self.sidecar = _new("AKIA", None)
        self._lock = threading.Lock()
        self._sessions = {self.sidecar.key: self.sidecar}

    def assume(self, form: Mapping[str, str]) -> bytes:
        """AssumeRole's answer. The session's tags name the account, encoded as Account.tags does it."""
        tags = {form[f"Tags.member.{n}.Key"]: form[f"Tags.member.{n}.Value"] for n in _tag_numbers(form)}
        account = f"{_decoded(tags.get('mysql_user', ''))}@{_decoded(tags.get('mysql_host', ''))}"
        session = _new("ASIA", account)
        with self._lock:
            self._sessions[session.key] = session
        return _xml(session, form.get("RoleSessionName", ""), datetime.now(UTC) + _HOUR)

    def known(self, headers: Mapping[str, str]) -> Session:
        """The session of the key, before a body is read. Raises ApiError."""
        found = _AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
        if found is None:
            raise forbidden("MissingAuthenticationTokenException", "Missing Authentication Token")
        with self._lock:
            session = self._sessions.get(found["key"])
        if session is None:
            raise _unknown()
        return session

    def verify(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Session:
        """The session that has signed exactly this; `path` as it was sent. Raises ApiError."""
        session = self.known(headers)
        found = _AUTHORIZATION.fullmatch(headers["Authorization"])
        if found is None:
            raise _unknown()
        signed = {name: headers.get(name, "") for name in found["headers"].split(";")}
        if not {"host", "x-amz-date"} <= set(signed) or signed.get("x-amz-security-token") != session.token:
            raise _unknown()
        request = AWSRequest(method, f"http://{signed['host']}{path}", headers=signed, data=body)
        request.context["timestamp"] = signed["x-amz-date"]
        signer = SigV4Auth(Credentials(session.key, session.secret), found["service"], found["region"])
        expected = signer.signature(
            signer.string_to_sign(request, signer.canonical_request(request)), request
        )
        if not hmac.compare_digest(expected, found["signature"]):
            raise forbidden("InvalidSignatureException", "The request signature does not match.")
        return session


def _unknown() -> ApiError:
    return forbidden("UnrecognizedClientException", "The security token included in the request is invalid.")


def _new(prefix: str, account: str | None) -> Session:
    token = secrets.token_hex(32) if account is not None else None
    return Session(prefix + secrets.token_hex(8).upper(), secrets.token_hex(20), token, account)


def _tag_numbers(form: Iterable[str]) -> list[str]:
    return [found[1] for key in form if (found := re.fullmatch(r"Tags\.member\.(\d+)\.Key", key))]


def _decoded(text: str) -> str:
    """Undoes the encoding of Account.tags, =HH for a byte."""
    pieces = re.sub(rb"=([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode())
    return pieces.decode(errors="replace")


def _xml(session: Session, name: str, expires: datetime) -> bytes:
    arn = f"{ROLE.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/{name}"
    return (
        f'<AssumeRoleResponse xmlns="{_NAMESPACE}"><AssumeRoleResult><Credentials>'
        f"<AccessKeyId>{session.key}</AccessKeyId><SecretAccessKey>{session.secret}</SecretAccessKey>"
        f"<SessionToken>{session.token}</SessionToken>"
        f"<Expiration>{expires:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
        f"<AssumedRoleUser><AssumedRoleId>AROATEST:{session.key}</AssumedRoleId><Arn>{arn}</Arn>"
        "</AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"
    ).encode()
