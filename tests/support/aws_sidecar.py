"""A sidecar whose Lambda and STS are scripted servers on loopback: every request that leaves it is on record.

Knows how they are put together; asserts nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.account import ACCOUNT_ID, REGION
from tests.support.invoker_client import InvokerStream, open_stream
from tests.support.lambda_endpoint import Answer, Endpoint, lambda_endpoint, says
from tests.support.sts_endpoint import StsEndpoint, key_in, sts_endpoint

from lambda_sidecar.testing.sidecar import SidecarProcess

BASE_KEY = "AKIDBASE"
BASE_SECRET = "canary-base-secret"
OK = says(200, b'"done"', x_amzn_RequestId="r-1", X_Amz_Executed_Version="$LATEST")


@dataclass
class AwsSidecar:
    """The parts. `stream` is one client's; make more with `open_stream(sidecar.socket)`."""

    sidecar: SidecarProcess
    endpoint: Endpoint
    sts: StsEndpoint
    stream: InvokerStream

    def signed_by(self) -> list[str]:
        """The access key ids that signed the Lambda requests, in order."""
        return [key_of(headers) for headers in self.endpoint.headers]


def key_of(headers: dict[str, str]) -> str:
    return key_in(headers["authorization"])


def variables(directory: Path, lambda_url: str, sts_url: str) -> dict[str, str]:
    """The environment of a process that must reach nothing but these two."""
    return {
        "AWS_ACCESS_KEY_ID": BASE_KEY,
        "AWS_SECRET_ACCESS_KEY": BASE_SECRET,
        "AWS_ENDPOINT_URL_LAMBDA": lambda_url,
        "AWS_ENDPOINT_URL_STS": sts_url,
        "HOME": str(directory),
    }


@contextlib.contextmanager
def aws_sidecar(
    directory: Path, *answers: Answer, sts_url: str = "", **settings: Any
) -> Iterator[AwsSidecar]:
    """`settings` are the configuration's; `sts_url` puts another STS in the scripted one's place."""
    config = {"region": REGION, "account_id": ACCOUNT_ID, "log_level": "debug", **settings}
    with lambda_endpoint(*(answers or (OK,))) as endpoint, sts_endpoint() as sts:
        environment = variables(directory, endpoint.url, sts_url or sts.url)
        sidecar = SidecarProcess(directory, config, environment=environment)
        with sidecar, open_stream(sidecar.socket) as stream:
            yield AwsSidecar(sidecar, endpoint, sts, stream)
