"""botocore's parser of REST-JSON answers, with a decoder that takes half the time of Python's own.

For answers of megabytes, which would hold the event loop. Knows no service."""

from __future__ import annotations

from typing import Any

import msgspec
from aiobotocore.parsers import AioResponseParserFactory, AioRestJSONParser


class _QuickParser(AioRestJSONParser):  # type: ignore[misc]  # aiobotocore is not typed
    def _parse_body_as_json(self, body_contents: bytes) -> Any:
        """What msgspec does not take botocore may: NaN, half a surrogate pair, what is no JSON at all."""
        try:
            return msgspec.json.decode(body_contents)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return super()._parse_body_as_json(body_contents)


class QuickParserFactory(AioResponseParserFactory):  # type: ignore[misc]  # aiobotocore is not typed
    """The session's component `response_parser_factory`."""

    def create_parser(self, protocol_name: str) -> Any:
        if protocol_name == "rest-json":
            return _QuickParser(**self._defaults)
        return super().create_parser(protocol_name)
