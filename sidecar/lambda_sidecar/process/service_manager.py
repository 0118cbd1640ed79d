"""The sidecar's notifications to systemd: ready, reloading, stopping, and that its event loop still turns.

Knows sd_notify(3)'s protocol; nothing of what the sidecar does. Without NOTIFY_SOCKET it says nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger(__name__)

# sd_watchdog_enabled(3): "send a keep-alive notification … every half of the time returned here".
PINGS_PER_TIMEOUT = 2
# Bytes. systemd ignores a datagram of more than 4096 whole (its NOTIFY_BUFFER_MAX is PIPE_BUF): without the
# READY=1 in it a reload would never be over. A status is one line of `systemctl status`.
STATUS_MAX = 2048


class ServiceManager:
    """One per process. Every message is a datagram that is sent without waiting: systemd that is busy or
    gone holds no call up."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Takes its variables out of `environment`: workers that the sidecar starts are not the service."""
        self._address = _address(environment.pop("NOTIFY_SOCKET", ""))
        usec = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", "")
        self._ping_seconds = 0.0  # 0: nobody watches
        if usec.isdecimal() and pid in ("", str(os.getpid())):
            self._ping_seconds = int(usec) / 1_000_000 / PINGS_PER_TIMEOUT
        self._ping: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """It serves, for the first time or after `reloading`; from now on the watchdog is fed."""
        self._send("READY=1", _status(status))
        if self._ping is None and self._address and self._ping_seconds:
            self._feed_watchdog()

    def reloading(self) -> None:
        """`ready` must follow. The time is what Type=notify-reload (systemd 253) knows reloads by."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", _status("reading the configuration again"))

    def stopping(self, status: str, seconds: float) -> None:
        """It ends within `seconds`: systemd waits that long, should TimeoutStopSec= be shorter."""
        self._send("STOPPING=1", _status(status), f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def close(self) -> None:
        if self._ping is not None:
            self._ping.cancel()

    def _feed_watchdog(self) -> None:
        """A timer of the event loop that serves the calls: a loop that is stuck sends nothing."""
        self._send("WATCHDOG=1")
        self._ping = asyncio.get_running_loop().call_later(self._ping_seconds, self._feed_watchdog)

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify:
                notify.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:
            log.warning("cannot tell systemd %s: %s", assignments[0], error.strerror)


def _address(variable: str) -> str:
    """sd_notify(3): a path, or a name in the abstract namespace that begins with @. Others (vsock:, of
    virtual machines) are not for a service."""
    if variable.startswith("@"):
        return "\0" + variable[1:]
    return variable if variable.startswith("/") else ""


def _status(text: str) -> str:
    """One line: a second one would be an assignment of its own. Cut where it is too long."""
    line = " ".join(text.split()).encode(
        errors="backslashreplace"
    )  # a path may hold bytes that are not UTF-8
    return "STATUS=" + (line if len(line) <= STATUS_MAX else line[:STATUS_MAX] + b" ...").decode(
        errors="ignore"
    )
