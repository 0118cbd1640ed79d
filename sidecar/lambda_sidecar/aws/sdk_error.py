"""Errors of the AWS SDK in words that a user, an operator and a log may see.

Knows botocore's exceptions, not when they occur. Must let no secret through."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, SSLError

# botocore's name for the provider (ProcessProvider.METHOD). Its errors quote the program's own output.
_PROCESS = "custom-process"


def describe(error: Exception) -> str:
    """One line: AWS's own words where AWS has answered, the system's with the file's name, or botocore's
    sentence. Of any other error it is the type's name alone, because parsers quote what they have read."""
    kind = type(error).__name__
    if isinstance(error, ClientError):
        said = error.response.get("Error", {})
        text = f"{said.get('Code') or 'Unknown'}: {said.get('Message') or 'no message'}"
    elif isinstance(error, CredentialRetrievalError) and error.kwargs.get("provider") == _PROCESS:
        text = "credential_process failed, or what it printed is not as the SDK expects it"
    elif isinstance(error, BotoCoreError):
        text = f"{kind}: {error}"
    elif isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    elif type(error) is RuntimeError:  # botocore's, where renewed credentials have expired already
        text = str(error)
    else:
        text = kind
    return " ".join(text.split())


def unreachable_reason(error: Exception) -> str:
    """Why a service could not be reached, as far as the SDK says: the system's words, TLS', the proxy's
    status, or that there was no answer in time."""
    inner = error.kwargs.get("error") if isinstance(error, BotoCoreError) else None
    system = getattr(inner, "os_error", None)
    status = getattr(inner, "status", None)
    if isinstance(error, SSLError):
        return f"TLS: {getattr(inner, 'certificate_error', None) or inner}"
    if status is not None:
        return f"The proxy answered {status}"
    if isinstance(system, OSError) and system.strerror:
        return system.strerror
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return describe(error)
