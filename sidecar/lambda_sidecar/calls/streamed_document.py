"""lambda_invoke's document of an answer that comes as a stream: it is written while the answer comes.

Knows neither gRPC nor HTTP. lambda_invoke.py has the document of an answer that is there."""

from __future__ import annotations

import codecs
from collections.abc import Awaitable, Callable, Generator

import msgspec

from lambda_sidecar.aws.answer import InvocationResult
from lambda_sidecar.calls.lambda_invoke import fields_of
from lambda_sidecar.errors import ApiError
from lambda_sidecar.text.json_text import STRING_STEP, string_steps

_Decoder = codecs.getincrementaldecoder("utf-8")
_START = b'{"StatusCode": 200, "Payload": "'

Write = Callable[[bytes], Awaitable[None]]
"""Sends the next part of the document; returns when there is room for another one."""


class StreamedDocument:
    """The same fields as `document` writes, and ErrorDetails. What the function answers becomes one JSON
    string, whatever it is: only at its end would one know whether it was JSON."""

    def __init__(self, write: Write, most: int) -> None:
        """Of more than `most` bytes nothing is taken."""
        self._write = write
        self._room = self._most = most
        self._decoder = _Decoder()
        self._read = 0
        self._began = False

    async def put(self, part: bytes) -> None:
        """The next part of the function's answer. Raises ApiError if it is no UTF-8, or too long."""
        for start in range(0, len(part), STRING_STEP):
            await self._send(self._escaped(part[start : start + STRING_STEP], final=False))

    def end(self, result: InvocationResult) -> Generator[None, None, bytes]:
        """The last part, which is the caller's to send. Raises ApiError as `put` does. In steps: what a
        function says of its failure may be as long as an answer."""
        assert result.streamed is not None  # noqa: S101
        payload = self._escaped(b"", final=True)
        fields = msgspec.json.encode(fields_of(result))[1:-1]
        details: bytes | None = b"null"
        if result.streamed.error_details:
            details = yield from string_steps(result.streamed.error_details, self._room)
        if details is None:
            raise self._too_large()
        return self._counted(b"".join((payload, b'", ', fields, b',"ErrorDetails":', details, b"}")))

    def _escaped(self, part: bytes, *, final: bool) -> bytes:
        kept = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(part, final)
        except UnicodeDecodeError as error:
            at = self._read - kept + error.start
            raise ApiError("InvalidResponse", f"the function's result is not UTF-8 at byte {at}") from None
        self._read += len(part)
        return msgspec.json.encode(text)[1:-1]

    async def _send(self, text: bytes) -> None:
        if text:
            await self._write(self._counted(text))

    def _counted(self, text: bytes) -> bytes:
        if not self._began:
            self._began, text = True, _START + text
        self._room -= len(text)
        if self._room < 0:
            raise self._too_large()
        return text

    def _too_large(self) -> ApiError:
        return ApiError(
            "ResponseTooLarge",
            f"the function's answer has more than {self._most} bytes as a document"
            " (lambda_udf.result_max_bytes, max_allowed_packet)",
        )
