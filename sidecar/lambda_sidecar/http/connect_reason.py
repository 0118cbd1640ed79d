"""Why a connection could not be made, in words for an operator: the name, TCP, TLS or the proxy.

Knows the errors that connecting raises; makes no connection."""

from __future__ import annotations

import os
import socket
import ssl

from lambda_sidecar.http.exchange import ConnectionBroken


def connect_reason(error: Exception, endpoint: str, proxy: str, *, seconds: float) -> str:
    """One sentence: `DNS: Name or service not known (lambda.example)`. `endpoint` and `proxy` as host:port,
    the latter empty where there is none; `seconds` is what the attempt had."""
    place = f"{endpoint} through the proxy {proxy}" if proxy else endpoint
    return f"{_why(error, seconds)} ({place})"


def _why(error: Exception, seconds: float) -> str:
    if isinstance(error, socket.gaierror):
        return f"DNS: {error.strerror}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {_of_tls(error)}"
    if isinstance(error, ConnectionBroken):
        return str(error)
    if isinstance(error, OSError) and error.errno:
        return f"TCP: {os.strerror(error.errno)}"
    if isinstance(error, TimeoutError):
        return f"no connection within {seconds:g} s"
    return str(error) or type(error).__name__


def _of_tls(error: ssl.SSLError) -> str:
    """OpenSSL's words, without the line of its source; errors that Python itself raises lack the parts."""
    if message := getattr(error, "verify_message", ""):
        return f"certificate verify failed: {message}"
    if reason := getattr(error, "reason", ""):
        return str(reason).replace("_", " ").lower()
    return error.strerror or str(error)
