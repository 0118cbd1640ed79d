#!/usr/bin/env python3
"""A custom runtime in plain Python, installed by tests as `bootstrap`: no awslambdaric, only http.client.

The event says how it behaves; {"misbehave": …} does what no runtime should."""

from __future__ import annotations

import http.client
import json
import os
import time

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
ROOT = "/2018-06-01/runtime/invocation"


def call(method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection(API)
    try:
        connection.request(method, path, body, headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


def misbehave(how: str, request_id: str) -> list[int]:
    """What the service answered to each wrong request."""
    match how:
        case "wrong id":
            return [
                call("POST", f"{ROOT}/another/response", b"1"),
                call("POST", f"{ROOT}/another/error", b"{}"),
            ]
        case "next without answer":
            return [call("GET", f"{ROOT}/next")]
        case "huge header":
            try:
                return [call("POST", f"{ROOT}/{request_id}/error", b"{}", {"X-Huge": "x" * 3_000_000})]
            except ConnectionError:  # closed before all of it was sent
                return [400]
        case "no such operation":
            return [call("GET", "/"), call("POST", "/2018-06-01/runtime/init/error", b"{}")]
        case "web page":
            return [call("POST", f"{ROOT}/{request_id}/response", b"1", {"Origin": "http://evil"})]
        case "foreign host":
            return [call("POST", f"{ROOT}/{request_id}/response", b"1", {"Host": "evil"})]
    return []


def main() -> None:
    while True:
        connection = http.client.HTTPConnection(API)
        connection.request("GET", f"{ROOT}/next")
        response = connection.getresponse()
        event, request_id = json.loads(response.read()), response.headers["Lambda-Runtime-Aws-Request-Id"]
        connection.close()
        how = event.get("misbehave")
        answer = {
            "statuses": misbehave(how, request_id) if how else [],
            "handler": os.environ["_HANDLER"],
            "arn": response.headers["Lambda-Runtime-Invoked-Function-Arn"],
            "deadline": int(response.headers["Lambda-Runtime-Deadline-Ms"]) / 1000 - time.time(),
            "trace": response.headers["Lambda-Runtime-Trace-Id"],
        }
        if how == "error without document":
            headers = {"Lambda-Runtime-Function-Error-Type": "Custom.Failure"}
            call("POST", f"{ROOT}/{request_id}/error", b"not JSON", headers)
        else:
            call("POST", f"{ROOT}/{request_id}/response", json.dumps(answer).encode())


if __name__ == "__main__":
    main()
