"""Who is refused, before anything is invoked."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.local.local_support import EXAMPLES, SIGNED, running, write_function

from lambda_sidecar.http.loopback import is_loopback_host
from lambda_sidecar.local.peer import owner_in


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


ASKING = """
import encodings.idna, http.client, os, sys
os.setuid(int(sys.argv[2]))
connection = http.client.HTTPConnection(sys.argv[1], timeout=10)
connection.request("GET", "/2018-06-01/runtime/invocation/next")
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user of the machine: needs root")
async def test_another_user_of_the_machine_gets_no_event_of_a_worker(tmp_path: Path) -> None:
    write_function(
        tmp_path,
        "F",
        "import os\ndef lambda_handler(event, context):\n    return os.environ['AWS_LAMBDA_RUNTIME_API']\n",
    )
    async with running(tmp_path) as local:
        address = (await local.invoke("F")).value

        def ask(user: int) -> str:
            command = [sys.executable, "-c", ASKING, address, str(user)]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout

        assert "not another user of the machine" in await asyncio.to_thread(ask, 65534)
        assert "InvalidStateTransition" in await asyncio.to_thread(ask, os.geteuid())
        assert (await local.invoke("F")).value == address


@pytest.mark.parametrize(
    ("peer", "expected"),
    [(("127.0.0.1", 40000), 1000), (("127.0.0.1", 40001), None), (("127.0.0.2", 40000), None)],
)
def test_the_owner_of_a_connection_is_found_in_the_kernels_table(
    peer: tuple[str, int], expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "byteorder", "little")
    table = [
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100",
        "   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20",
        "   2: 0100007F:9C40 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 20",
    ]
    assert owner_in(table, peer, ("127.0.0.1", 8080)) == expected
