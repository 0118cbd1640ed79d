"""The tests of the stream, the slots, the HTTP pool over memory and the local Lambda's parts, in every order of
what is ready.

Each is that of its own file, on loops whose order a seed permutes: `make orders` tries a thousand of them."""

from __future__ import annotations

from tests.pure import test_http_reuse, test_http_streamed, test_local_parts, test_slot_order, test_stream
from tests.support.permuting_loop import async_tests, in_any_order

FILES = {
    "test_stream": test_stream,
    "test_slot_order": test_slot_order,
    "test_http_reuse": test_http_reuse,
    "test_http_streamed": test_http_streamed,
    "test_local_parts": test_local_parts,
}

for _file in FILES.values():
    for _name, _test in async_tests(_file).items():
        globals()[_name] = in_any_order(_test)
