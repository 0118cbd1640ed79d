"""Who is refused, before anything is invoked."""

from __future__ import annotations

import asyncio

import pytest
from tests.local.local_support import EXAMPLES, SIGNED, running

from lambda_sidecar.local.access import is_loopback_host


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:9001", True),
        ("127.8.8.8:80", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]", True),
        ("[::1]:9001", True),
        ("", False),
        ("example.com", False),
        ("127.0.0.1.example.com", False),
        ("localhost.example.com:80", False),
        ("192.168.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - a Host header
        ("[::]", False),
        ("::1", False),
        ("127.0.0.1:80@example.com", False),
        ("2130706433", False),
    ],
)
def test_only_loopback_names_are_hosts(host: str, loopback: bool) -> None:
    assert is_loopback_host(host) is loopback


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "MissingAuthenticationTokenException"),
        ({"Authorization": "Basic dXNlcjpwYXNz"}, "MissingAuthenticationTokenException"),
        ({"Authorization": "Bearer AWS4-HMAC-SHA256 x"}, "MissingAuthenticationTokenException"),
        ({**SIGNED, "Host": "evil.example.com"}, "AccessDeniedException"),
        ({**SIGNED, "Host": "192.168.0.7:9001"}, "AccessDeniedException"),
    ],
)
async def test_a_request_without_signature_or_with_a_foreign_host_invokes_nothing(
    headers: dict[str, str], code: str
) -> None:
    async with running(EXAMPLES) as local:
        for method, path in (
            ("POST", "/2015-03-31/functions/Echo/invocations"),
            ("GET", "/_local/invocations"),
            ("DELETE", "/_local/invocations"),
            ("GET", "/_local/requests"),
            ("GET", "/"),
        ):
            url = local.service.endpoint + path
            async with local.http.request(method, url, headers=headers, data=b"{}") as response:
                assert response.status == 403
                assert response.headers["x-amzn-ErrorType"] == code
        assert await local.record() == []
        assert await local.local("requests") == {"open": 0, "most_open": 0}


@pytest.mark.parametrize(
    "request_text",
    [
        "garbage\r\n\r\n",
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n{signed}Content-Length: 2\r\n\r\n{{}}",
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{signed}Content-Length: 100\r\n\r\n{{}}",
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{signed}Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}",
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {long}\r\n{signed}Content-Length: 2\r\n\r\n{{}}",
        "POST {path} HTTP/1.0\r\n{signed}Content-Length: 2\r\n\r\n{{}}",
    ],
)
async def test_malformed_http_invokes_nothing_and_harms_nothing(request_text: str) -> None:
    async with running(EXAMPLES) as local:
        reader, writer = await asyncio.open_connection(*local.service.endpoint[7:].split(":"))
        signed = f"Authorization: {SIGNED['Authorization']}\r\n"
        path = "/2015-03-31/functions/Echo/invocations"
        writer.write(request_text.format(path=path, signed=signed, long="x" * 100_000).encode())
        writer.write_eof()
        status = (await reader.read()).partition(b"\r\n")[0]
        assert b" 200 " not in status
        writer.close()
        await writer.wait_closed()
        assert await local.record() == []
        assert (await local.invoke("Echo", 1)).value == 1


async def test_an_unknown_operation_is_a_rest_json_error() -> None:
    async with running(EXAMPLES) as local:
        async with local.http.get(
            local.service.endpoint + "/2015-03-31/functions", headers=SIGNED
        ) as response:
            assert response.status == 404
            assert response.headers["x-amzn-ErrorType"] == "UnknownOperationException"
        url = local.service.endpoint + "/2015-03-31/functions/Echo/invocations"
        async with local.http.get(url, headers=SIGNED) as response:
            assert response.status == 405
