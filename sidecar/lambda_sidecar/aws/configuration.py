"""The standard AWS configuration: regions, the Lambda endpoint of each, TLS and proxies.

Asks aiobotocore once and keeps the answers, so that no call has to ask; signs and sends nothing."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiobotocore.session
from aiobotocore.config import AioConfig
from botocore.awsrequest import AWSResponse
from botocore.exceptions import BotoCoreError
from botocore.utils import get_environ_proxies

from lambda_sidecar.aws.bounded_http import BoundedHttpSession
from lambda_sidecar.aws.chain_providers import make_resolver
from lambda_sidecar.aws.sdk_error import describe
from lambda_sidecar.config.values import ConfigError
from lambda_sidecar.errors import InvalidRequest, InvokeFailure
from lambda_sidecar.http.client import host_and_port

# One request to STS or SSO. botocore's own 60 s to connect and 60 s to read are more than a call waits.
REQUEST_SECONDS = 5
# Where AWS's own endpoints are, VPC endpoints too (general reference, "AWS service endpoints").
_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")
# Settings are tried out in some region even where none is configured.
ANY_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of a region's Lambda API. `url` has no slash at its end; `proxy` is a URL or None."""

    url: str
    proxy: str | None

    def __str__(self) -> str:
        """For people: without the user and the password that either URL may have."""
        through = f", through the proxy {host_and_port(self.proxy)}" if self.proxy else ""
        return f"{urlsplit(self.url)._replace(netloc=host_and_port(self.url)).geturl()}{through}"


class AwsConfiguration:
    """One AWS session: environment, profile and config file, read as every SDK reads them."""

    def __init__(self) -> None:
        self.session = aiobotocore.session.get_session()
        # Other AWS SDKs and every AWS runtime read this variable; botocore reads AWS_DEFAULT_REGION only.
        if region := os.environ.get("AWS_REGION"):
            self.session.set_config_variable("region", region)
        self.session.set_default_client_config(
            AioConfig(
                connect_timeout=REQUEST_SECONDS,
                read_timeout=REQUEST_SECONDS,
                http_session_cls=BoundedHttpSession,
            )
        )
        self._endpoints: dict[str, Endpoint] = {}
        self._partitions: dict[str, str] = {}
        self._tls: ssl.SSLContext | None = None

    @property
    def region(self) -> str | None:
        """AWS_REGION, AWS_DEFAULT_REGION or the profile's region. Raises ConfigError."""
        with _settings():
            region: str | None = self.session.get_config_variable("region")
        if region is not None and not re.fullmatch(r"[a-z0-9-]+", region):
            raise ConfigError(f"AWS configuration: region: not a region's name: {region!r}")
        return region

    @property
    def is_emulated(self) -> bool:
        """Whether the environment leads Lambda's calls to another place than AWS, and STS's not: then AWS
        would be asked about keys that were never its own."""
        url = os.environ.get("AWS_ENDPOINT_URL_LAMBDA", "")
        is_elsewhere = bool(url) and not (urlsplit(url).hostname or "").endswith(_AWS_HOSTS)
        has_sts = any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"))
        return is_elsewhere and not has_sts

    def tls(self) -> ssl.SSLContext:
        """The TLS context. It trusts AWS_CA_BUNDLE, else the profile's ca_bundle, else the system's
        certificates. Made once, because that takes tens of milliseconds. Raises ConfigError."""
        if self._tls is not None:
            return self._tls
        with _settings():
            bundle: str | None = self.session.get_config_variable("ca_bundle")
        try:
            self._tls = ssl.create_default_context(cafile=bundle)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"AWS configuration: CA bundle {bundle}: {error.strerror or error}") from None
        return self._tls

    def partitions(self) -> dict[str, str]:
        """Every region where the SDK knows Lambda, with its partition. Raises ConfigError."""
        if not self._partitions:
            with _settings():
                resolver = self.session.get_component("endpoint_resolver")
                self._partitions = {
                    region: partition
                    for partition in resolver.get_available_partitions()
                    for region in resolver.get_available_endpoints("lambda", partition)
                }
        return self._partitions

    async def try_out(self, region: str | None, *, roles: bool) -> None:
        """Reads now what would otherwise be read in the first call: certificates, Lambda's endpoint in
        `region`, the credential chain's settings, and with `roles` those of STS. Connects to nothing. Raises
        ConfigError, but not for a region that the SDK does not know, because calls may name another."""
        chosen = region if region in self.partitions() else ANY_REGION
        self.tls()
        with _settings():
            await self.endpoint(chosen)
            make_resolver(self.session)
            if roles:
                async with self.session.create_client(
                    "sts",
                    region_name=chosen,
                    aws_access_key_id="-",
                    aws_secret_access_key="-",  # noqa: S106
                ):
                    pass

    async def endpoint(self, region: str) -> Endpoint:
        """The Lambda endpoint of `region`, with AWS_ENDPOINT_URL_LAMBDA, FIPS, dual-stack and proxies as the
        AWS configuration has them. Cached, because making a client takes tens of milliseconds. Raises
        InvalidRequest where there is none."""
        known = self._endpoints.get(region)
        if known is not None:
            return known
        try:
            url = await self._endpoint_url(region)
        except (ValueError, BotoCoreError) as error:
            raise InvalidRequest(f"no Lambda endpoint for region '{region}': {error}") from None
        proxies = get_environ_proxies(url)
        proxy = proxies.get("https" if url.startswith("https:") else "http")
        self._endpoints[region] = Endpoint(url, proxy)
        return self._endpoints[region]

    async def _endpoint_url(self, region: str) -> str:
        """The URL to which botocore would send an Invoke. `client.meta.endpoint_url` is older than botocore's
        rules for endpoints and differs from them (dual-stack in isolated regions). So botocore is made to
        begin a call, which the event `before-call` answers in the endpoint's place."""
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


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Turns whatever the SDK raises while it reads its settings into ConfigError: for an unknown profile, a
    file that cannot be read, a number that is none, an endpoint without a scheme."""
    try:
        yield
    except ConfigError:
        raise
    except InvokeFailure as failure:
        raise ConfigError(f"AWS configuration: {failure.text}") from None
    except ValueError as error:
        raise ConfigError(f"AWS configuration: {' '.join(str(error).split())}") from None
    except Exception as error:
        raise ConfigError(f"AWS configuration: {describe(error)}") from None
