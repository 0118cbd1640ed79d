"""SHA-256 of a request's payload, as its signature has it; that of a large one is made in a thread.

OpenSSL takes some 0.6 ms for 1 MB and leaves the interpreter lock to others meanwhile, unlike a check of
JSON. So both go on at once, on two processors, and the event loop is not held."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

# From so many bytes on, two switches between threads take less time than they gain.
APART = 1_000_000
# More would not hash faster: there is other work, too.
THREADS = 2

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="sha256")


def payload_hash(payload: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(payload).hexdigest()


async def begin_hash(payload: bytes) -> asyncio.Future[str]:
    """The same, to be awaited when it is needed. Returns when a thread is about to hash: for that it must
    have had the interpreter lock, which whatever comes next may hold for milliseconds. (uvloop keeps the lock
    while it is told so, so that the thread comes first.)"""
    loop = asyncio.get_running_loop()
    begun = asyncio.Event()

    def work() -> str:
        loop.call_soon_threadsafe(begun.set)
        return payload_hash(payload)

    hashing = loop.run_in_executor(_threads, work)
    await begun.wait()
    return hashing
