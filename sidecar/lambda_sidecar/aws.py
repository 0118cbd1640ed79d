"""What the standard AWS configuration says: regions, the Lambda endpoint of each, TLS and proxies.

Asks aiobotocore once and keeps the answers, so that a call does not; signs and sends nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import aiobotocore.session
from botocore.awsrequest import AWSResponse
from botocore.exceptions import EndpointProviderError, EndpointVariantError
from botocore.utils import get_environ_proxies

from lambda_sidecar.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a region's Lambda API is reached. `url` has no slash at its end; `proxy` is a URL or None."""

    url: str
    proxy: str | None


class AwsConfiguration:
    """One AWS session: environment, profile and config file, read as every SDK reads them."""

    def __init__(self) -> None:
        self.session = aiobotocore.session.get_session()
        # Other AWS SDKs and every AWS runtime go by this variable; botocore knows AWS_DEFAULT_REGION only.
        if region := os.environ.get("AWS_REGION"):
            self.session.set_config_variable("region", region)
        self._endpoints: dict[str, Endpoint] = {}
        self._partitions: dict[str, str] = {}

    @property
    def region(self) -> str | None:
        """AWS_REGION, AWS_DEFAULT_REGION or the profile's region."""
        region: str | None = self.session.get_config_variable("region")
        return region

    @property
    def ca_bundle(self) -> str | None:
        """AWS_CA_BUNDLE or the profile's ca_bundle; None: the system's."""
        bundle: str | None = self.session.get_config_variable("ca_bundle")
        return bundle

    def partitions(self) -> dict[str, str]:
        """Every region where the SDK knows Lambda, with its partition."""
        if not self._partitions:
            resolver = self.session.get_component("endpoint_resolver")
            self._partitions = {
                region: partition
                for partition in resolver.get_available_partitions()
                for region in resolver.get_available_endpoints("lambda", partition)
            }
        return self._partitions

    async def endpoint(self, region: str) -> Endpoint:
        """The Lambda endpoint of `region`, with AWS_ENDPOINT_URL_LAMBDA, FIPS, dual-stack and proxies
        as the AWS configuration has them. Cached: making a client takes tens of milliseconds."""
        known = self._endpoints.get(region)
        if known is not None:
            return known
        try:
            url = await self._endpoint_url(region)
        except (ValueError, EndpointVariantError, EndpointProviderError) as error:
            raise InvalidRequest(f"no Lambda endpoint for region '{region}': {error}") from None
        proxies = get_environ_proxies(url)
        proxy = proxies.get("https" if url.startswith("https:") else "http")
        self._endpoints[region] = Endpoint(url, proxy)
        return self._endpoints[region]

    async def _endpoint_url(self, region: str) -> str:
        """Where botocore would send an Invoke to. `client.meta.endpoint_url` is older than the rules by which
        botocore resolves endpoints, and differs from them (dual-stack in isolated regions); so it is made
        to begin a call, and the event `before-call` answers it in the endpoint's place."""
        urls: list[str] = []

        def answer(params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
            urls.append(params["url"])
            return AWSResponse(params["url"], 200, {}, None), {}

        async with self.session.create_client(
            "lambda",
            region_name=region,
            aws_access_key_id="-",
            aws_secret_access_key="-",  # noqa: S106
        ) as client:
            client.meta.events.register_first("before-call.lambda.Invoke", answer)
            await client.invoke(FunctionName="f")
        return urls[0].removesuffix("/2015-03-31/functions/f/invocations")
