"""The providers of the AWS credential chain, bounded: programs end with their reader, metadata services soon.

Knows aiobotocore's providers; nothing of the credentials that they find."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from typing import Any

from aiobotocore.credentials import (
    AioCredentialResolver,
    AioInstanceMetadataProvider,
    AioProcessProvider,
    create_credential_resolver,
)
from aiobotocore.session import AioSession

# A metadata service answers within a second (AWS_METADATA_SERVICE_TIMEOUT's default); where there is none,
# perhaps nothing answers. This is less than a call waits for the whole chain.
METADATA_SECONDS = 4.0


def make_resolver(session: AioSession) -> AioCredentialResolver:
    """The session's chain of providers. Raises whatever the SDK raises for wrong settings."""
    resolver = create_credential_resolver(session)
    for provider in resolver.providers:
        if isinstance(provider, AioProcessProvider):
            provider._popen = _start
        elif isinstance(provider, AioInstanceMetadataProvider):
            provider.load = functools.partial(_load_in_time, provider.load)
    return resolver


async def _load_in_time(load: Callable[[], Awaitable[Any]]) -> Any:
    """The provider's credentials; None if it has none, or does not answer in time."""
    try:
        async with asyncio.timeout(METADATA_SECONDS) as limit:
            return await load()
    except TimeoutError:
        if limit.expired():
            return None
        raise


async def _start(*command: str, **options: Any) -> _Process:
    return _Process(await asyncio.create_subprocess_exec(*command, **options))


class _Process:
    """The part of asyncio's Process that aiobotocore uses. aiobotocore itself leaves a program running whose
    reader is cancelled, and each attempt would add one more to those that hang."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        try:
            return await self._process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()  # at once; then nothing of it is left
            raise
