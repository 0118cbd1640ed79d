"""Errors of the AWS SDK in words that a user, an operator and a log may see.

Knows botocore's exceptions; nothing of when they are met. Nothing here may hold a secret."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError

# botocore's name for the provider (ProcessProvider.METHOD). Its errors quote the program's own output.
_PROCESS = "custom-process"


def describe(error: Exception) -> str:
    """AWS's words where AWS has spoken, the system's with the file's name, botocore's own sentences. Of
    anything else the type's name alone: the texts of parsers quote what they have read."""
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
