"""The environment by which a stack's sidecar finds its AWS: none, a test's own, or an endpoint that is given.

Knows variables and settings; nothing of servers."""

from __future__ import annotations

import os
from collections.abc import Mapping

from lambda_sidecar.aws.configuration import AwsConfiguration
from lambda_sidecar.config.config import ConfigError

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"  # AWS's example account; the local Lambda answers for any
NO_AWS_FILES = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
# Variables from which the AWS SDK takes credentials without reading a file.
CREDENTIAL_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def without_ours() -> Mapping[str, str | None]:
    """Removes proxies between a sidecar and its endpoint, and settings of sidecars in this environment."""
    ours = [
        name for name in os.environ if name.startswith("LAMBDA_SIDECAR_") or name.lower() in PROXY_VARIABLES
    ]
    return dict.fromkeys(ours)


def endpoint_environment(endpoint: str) -> Mapping[str, str | None]:
    """Sends calls to `endpoint`, with this environment's AWS credentials or, without any, placeholders."""
    environment: dict[str, str | None] = {"AWS_ENDPOINT_URL_LAMBDA": endpoint}
    if not any(os.environ.get(name) for name in CREDENTIAL_VARIABLES):
        environment |= {"AWS_ACCESS_KEY_ID": "placeholder", "AWS_SECRET_ACCESS_KEY": "placeholder"}
    return environment


def names_alone() -> dict[str, str]:
    """Settings for an endpoint of one's own. They have no account, so that names are sent as they are typed
    and not as ARNs. The region for signatures is that of the AWS configuration if there is one."""
    try:
        known = AwsConfiguration().region is not None
    except ConfigError:  # the sidecar will say what is wrong
        known = True
    return {} if known else {"region": REGION}
