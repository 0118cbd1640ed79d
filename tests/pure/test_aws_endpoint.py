"""The Lambda endpoint of every region: the one to which botocore itself would send an Invoke.

Each test's name is the sentence that it proves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError

from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.errors import InvalidRequest

PATH = "/2015-03-31/functions/f/invocations"
NOWHERE = "nowhere"


class _NotSent(Exception):
    """Instead of sending."""


def botocores(session: botocore.session.Session, region: str) -> str:
    """Where a request of botocore's own client leads at the moment before it is sent."""
    urls: list[str] = []

    def stop(request: AWSRequest, **_: Any) -> None:
        urls.append(request.url)
        raise _NotSent

    try:
        client = session.create_client(
            "lambda", region_name=region, aws_access_key_id="-", aws_secret_access_key="-"
        )
    except BotoCoreError:
        return NOWHERE
    client.meta.events.register("before-send.lambda.Invoke", stop)
    try:
        client.invoke(FunctionName="f")
    except _NotSent:
        return urls[0]
    except BotoCoreError:
        return NOWHERE
    finally:
        client.close()
    raise AssertionError("a request was sent")


async def ours(aws: AwsConfiguration, region: str) -> str:
    try:
        return (await aws.endpoint(region)).url + PATH
    except InvalidRequest as error:
        assert error.text.startswith(f"no Lambda endpoint for region '{region}': ")
        return NOWHERE


VARIANTS: list[dict[str, str]] = [
    {},
    {"AWS_USE_FIPS_ENDPOINT": "true"},
    {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
]


@pytest.mark.filterwarnings("ignore:Fetching the endpoint_resolver component:DeprecationWarning")
@pytest.mark.parametrize("variables", VARIANTS, ids=lambda variables: "+".join(variables) or "none")
async def test_in_every_region_the_endpoint_is_botocores_own(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    aws, session = AwsConfiguration(), botocore.session.get_session()
    regions = aws.partitions()
    assert {"us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1"} < set(regions)
    expected = {region: botocores(session, region) for region in regions}
    assert {region: await ours(aws, region) for region in regions} == expected
    assert expected["us-iso-east-1"].startswith("https://lambda")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
        ("http://127.0.0.1:4566/", "http://127.0.0.1:4566"),
        ("https://gateway.example/lambda/", "https://gateway.example/lambda"),
        ("https://gateway.example/lambda", "https://gateway.example/lambda"),
    ],
)
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL", "profile"])
async def test_an_endpoint_of_the_configuration_stands_for_every_regions(
    variable: str, url: str, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if variable == "profile":
        config = tmp_path / "config"
        config.write_text(f"[profile mine]\nservices = s\n[services s]\nlambda =\n  endpoint_url = {url}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_PROFILE", "mine")
    else:
        monkeypatch.setenv(variable, url)
    aws = AwsConfiguration()
    for region in ("eu-west-1", "us-iso-east-1"):
        assert (await aws.endpoint(region)).url == expected


async def test_nothing_is_signed_or_sent_to_learn_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a port where nobody listens it takes no attempt either."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert (await AwsConfiguration().endpoint("eu-west-1")).url == "http://127.0.0.1:1"
