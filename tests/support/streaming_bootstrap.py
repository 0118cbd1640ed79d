#!/usr/bin/env python3
"""A function in Lambda's streaming response mode as a custom runtime, installed by tests as `bootstrap`: the
standard library alone. The event says what it sends, and how it ends.

    bytes      how many it answers; the answer is body(bytes), a JSON string
    part       bytes of each part
    pass       files: before the part of that number ("0" is the first), and before it ends ("then"), it waits
               until the file is there
    sent       a file to which it writes how many bytes the socket has taken, after each part
    mode       "buffered": answers without parts
    then       behind the parts: "error" reports one in trailers, "cut off" closes the connection, "exit" ends the
               process, "hang" never ends; "raise" reports an error instead of an answer
    error      for "error" and "raise": [type, text of the body]
    prints     what it prints before it answers"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = "/2018-06-01/runtime/invocation"
# Of a length that divides no size of a part: parts in another order, or twice, change the whole.
_PATTERN = b"".join(hashlib.sha512(b"%d" % number).hexdigest().encode() for number in range(512))[:65_521]


def body(size: int, part: int = 1024 * 1024) -> Iterator[bytes]:
    """A JSON string of `size` bytes (2 or more) in parts of `part` bytes, always the same."""
    pattern = _PATTERN * (part // len(_PATTERN) + 2)
    for start in range(0, size, part):
        length = min(part, size - start)
        chunk = bytearray(pattern[start % len(_PATTERN) :][:length])
        if start == 0:
            chunk[0:1] = b'"'
        if start + length == size:
            chunk[-1:] = b'"'
        yield bytes(chunk)


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.002)


def stream(connection: http.client.HTTPConnection, request_id: str, event: dict[str, Any]) -> None:
    connection.putrequest("POST", f"{ROOT}/{request_id}/response")
    connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body")
    connection.endheaders()
    sent = 0
    for number, part in enumerate(body(event.get("bytes", 0), event.get("part", 65_536))):
        if str(number) in event.get("pass", {}):
            wait_for(event["pass"][str(number)])
        connection.send(b"%x\r\n%b\r\n" % (len(part), part))
        sent += len(part)
        if "sent" in event:
            new = Path(event["sent"] + ".new")
            new.write_text(str(sent))
            new.replace(event["sent"])
    if "then" in event.get("pass", {}):
        wait_for(event["pass"]["then"])
    match event.get("then"):
        case "exit":
            os._exit(3)
        case "hang":
            wait_for("/nowhere")
        case "cut off":
            return
        case "error":
            error_type, text = event["error"]
            encoded = base64.b64encode(text.encode())
            connection.send(b"0\r\nLambda-Runtime-Function-Error-Type: %b\r\n" % error_type.encode())
            connection.send(b"Lambda-Runtime-Function-Error-Body: %b\r\n\r\n" % encoded)
        case _:
            connection.send(b"0\r\n\r\n")
    connection.getresponse().read()


def main() -> None:
    api = os.environ["AWS_LAMBDA_RUNTIME_API"]
    while True:
        connection = http.client.HTTPConnection(api)
        connection.request("GET", f"{ROOT}/next")
        response = connection.getresponse()
        event, request_id = json.loads(response.read()), response.headers["Lambda-Runtime-Aws-Request-Id"]
        if "prints" in event:
            os.write(1, event["prints"].encode() + b"\n")
        if event.get("then") == "raise":
            error_type, text = event["error"]
            document = json.dumps({"errorType": error_type, "errorMessage": text}).encode()
            headers = {"Lambda-Runtime-Function-Error-Type": error_type}
            connection.request("POST", f"{ROOT}/{request_id}/error", document, headers)
            connection.getresponse().read()
        elif event.get("mode") == "buffered":
            connection.request("POST", f"{ROOT}/{request_id}/response", b"".join(body(event["bytes"])))
            connection.getresponse().read()
        else:
            stream(connection, request_id, event)
        connection.close()


if __name__ == "__main__":
    main()
