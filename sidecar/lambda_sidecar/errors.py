"""Every failure a call can meet, each with the text that its user reads after "lambda_sync UDF failed; ".

Knows nothing of gRPC or HTTP; never holds a payload."""

from __future__ import annotations

import enum

from lambda_sidecar.text.safe_text import visible

# MySQL cuts messages at 512 bytes, and the reason must survive.
MESSAGE_MAX = 400
# The longest name of an error in the SDK's models of Lambda, STS and SSO has 57 characters.
CODE_MAX = 100
# Of why there are no credentials, behind Aurora's own words.
REASON_MAX = 300
# No text of ours is longer; what others sent may be.
TEXT_MAX = 2000
# How a text ends where nobody knows what became of the call; and where that does no harm.
PERHAPS_DONE = "; the call may have been carried out"
SAFE_TO_REPEAT = "; the durable execution of this name may be running, and it is safe to repeat the same call"
# Bytes of a text with one of these: of 479 that the library shows (failure.h) 56 are for a trace. Before the
# words of a batch it says which rows they are of (aggregation.c).
_ENDED_MAX = 479 - 56
_OF_ROWS_MAX = len(f"rows {2**64} to {2**64}: ")


class ErrorKind(enum.IntEnum):
    """Whose fault it is. Numbers as in the contract's enum ErrorKind."""

    INVALID = 1
    DENIED = 2
    CREDENTIALS = 3
    NETWORK = 4
    API = 5
    TIMEOUT = 6
    INTERNAL = 7
    OVERLOADED = 10


class InvokeFailure(Exception):
    """A call that got no answer from the function. `code` and `request_id` are the Lambda API's, otherwise
    empty. `of_service`: Lambda or the way to it failed, and not the request, so that the same may succeed
    later; whether the function has run is another question. `reason` says to operators what the text, which
    is Aurora's own, does not; it holds no secret, and nothing of a payload."""

    kind = ErrorKind.INTERNAL
    request_id = ""
    of_service = False
    reason = ""

    def __init__(self, text: str, *, code: str = "") -> None:
        # Others' words may be in it, and names out of SQL: cut, on one line, nothing that steers a terminal.
        self.text = _safe(text[:TEXT_MAX])
        self.code = _safe(code[:CODE_MAX])
        super().__init__(self.text)

    def may_be_repeated(self) -> InvokeFailure:
        """The same with a text that says that the call may have started a durable execution of its name, and
        that whoever calls again with the same name and payload gets to it."""
        return self._ending(SAFE_TO_REPEAT, _ENDED_MAX)

    def perhaps_done(self) -> InvokeFailure:
        """The same, of a batch, with a text that says that it may have been carried out before."""
        return self._ending(PERHAPS_DONE, _ENDED_MAX - _OF_ROWS_MAX)

    def _ending(self, words: str, most: int) -> InvokeFailure:
        """A copy: a failure to get credentials is raised for other calls, too. The words stay whole."""
        same = type(self).__new__(type(self), *self.args)
        vars(same).update(vars(self))
        plain = self.text.removesuffix(PERHAPS_DONE).encode()[: most - len(words)]
        same.text = plain.decode(errors="ignore") + words
        return same


def _safe(text: str) -> str:
    """Halves of surrogate pairs, which JSON can hold, cannot travel as UTF-8."""
    return visible(text.encode(errors="replace").decode())


class InvalidRequest(InvokeFailure):
    """The function's name, the region, the payload or an option is wrong; nothing was sent."""

    kind = ErrorKind.INVALID


class AccessDenied(InvokeFailure):
    """The sidecar's own rules refuse the account, the function or the role; nothing was sent, not even
    to STS."""

    kind = ErrorKind.DENIED

    def __init__(self, reason: str) -> None:
        super().__init__(f"AccessDenied: {reason}")


class RoleNotAssumed(InvokeFailure):
    """STS refused the role: `code` and `message` are its own. Of kind CREDENTIALS, because the function's
    call was not made; the contract keeps codes for the Lambda API, so it stands in the text."""

    kind = ErrorKind.CREDENTIALS

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"Lambda API returned error: {code[:CODE_MAX]}: {message[:MESSAGE_MAX]}")


class MissingCredentials(InvokeFailure):
    """There are no credentials to sign with, in Aurora's own words. `reason` says why, where more is known
    than that the credential chain has nothing; it holds no secret."""

    kind = ErrorKind.CREDENTIALS

    def __init__(self, reason: str = "") -> None:
        if not reason:
            super().__init__(
                "Lambda API returned error: Missing Credentials: Cannot instantiate Lambda Client"
            )
        else:
            super().__init__(
                "Lambda API returned error: Missing Credentials: Cannot instantiate Lambda Client: "
                f"{reason[:REASON_MAX]}"
            )
        self.reason = _safe(reason[:REASON_MAX])


class CredentialsAwaited(MissingCredentials):
    """They are being read, which takes longer than a call waits."""


class EndpointUnreachable(InvokeFailure):
    """No connection was made, so nothing was sent. Aurora's own words; `reason` says why: DNS, TCP, TLS, the
    proxy."""

    kind = ErrorKind.NETWORK
    of_service = True

    def __init__(self, reason: str = "") -> None:
        super().__init__("Lambda API returned error: Network Connection. Unable to connect to endpoint")
        self.reason = _safe(reason[:REASON_MAX])


class ConnectionLost(InvokeFailure):
    """The connection broke after the request had left: whether it was carried out is not known."""

    kind = ErrorKind.NETWORK
    of_service = True

    def __init__(self, what: str) -> None:
        super().__init__(
            f"Lambda API returned error: Network Connection. {what}; the call may have been carried out"
        )
        self.reason = _safe(what[:REASON_MAX])


class ApiError(InvokeFailure):
    """The Lambda API answered with an error: `code` is the exception's name. `passes`: it came before
    the function ran and may not come again, so the call may be repeated.
    `retry_after`: in so many seconds, where Lambda says that. `status` is HTTP's, 0 for an answer that
    cannot be Lambda's."""

    kind = ErrorKind.API

    def __init__(
        self,
        code: str,
        message: str,
        *,
        passes: bool = False,
        of_service: bool = False,
        request_id: str = "",
        retry_after: float | None = None,
        status: int = 0,
    ) -> None:
        super().__init__(f"Lambda API returned error: {code[:CODE_MAX]}: {message[:MESSAGE_MAX]}", code=code)
        self.passes = passes
        self.of_service = of_service
        self.retry_after = retry_after
        self.status = status
        self.request_id = request_id


class Throttled(ApiError):
    """Lambda takes no call of the function now (429); the function has not run. `was_sent` False: this call
    was not even sent, because Lambda said so of another one."""

    def __init__(
        self, code: str, message: str, *, request_id: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(
            code,
            message,
            passes=True,
            of_service=True,
            request_id=request_id,
            retry_after=retry_after,
            status=429,
        )
        self._said = (code, message)
        self.was_sent = True

    def of_another(self) -> Throttled:
        """The same for a call that was not sent."""
        failure = Throttled(*self._said)
        failure.was_sent = False
        return failure


class NotAsLambdaDoes(InvokeFailure):
    """The endpoint's answer is neither Lambda's success nor an error: whether anybody carried the call out
    is not known."""

    kind = ErrorKind.API

    def __init__(self, what: str) -> None:
        super().__init__(
            f"Lambda API returned error: InvalidResponse: the endpoint did not answer as Lambda does: {what};"
            " the call may have been carried out",
            code="InvalidResponse",
        )


class BatchAnswerInvalid(InvokeFailure):
    """The function has run, and what it answered breaks the contract under which it was given a batch."""

    kind = ErrorKind.API

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the function has run, but it did not answer as the contract says: {what}",
            code="BatchAnswerInvalid",
        )


class CallTimeout(InvokeFailure):
    """The time that the caller gave has passed. `was_sent` False: no attempt had left by then."""

    kind = ErrorKind.TIMEOUT

    def __init__(self, milliseconds: int, *, was_sent: bool = True) -> None:
        super().__init__(f"timed out after {milliseconds} ms")
        self.was_sent = was_sent


class Overloaded(InvokeFailure):
    """The call waited for a slot until too little of its time was left for the function; nothing was sent."""

    kind = ErrorKind.OVERLOADED

    def __init__(self, running: int, waiting: int) -> None:
        super().__init__(
            f"overloaded: {running} calls run and {waiting} wait; "
            "this one would not have ended within its time (max_concurrency)"
        )


class InternalFailure(InvokeFailure):
    """A defect of the sidecar; its log says more."""

    def __init__(self) -> None:
        super().__init__("sidecar unavailable: internal failure, see the sidecar's log")
