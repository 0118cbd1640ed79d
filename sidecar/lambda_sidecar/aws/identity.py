"""Who the sidecar is at AWS, as one line of its log soon after its start.

Knows STS and the credential chain; nothing of calls. Nobody waits for it, and it fails nothing."""

from __future__ import annotations

import logging

from lambda_sidecar.aws.configuration import ANY_REGION, AwsConfiguration
from lambda_sidecar.aws.sts import Sts
from lambda_sidecar.errors import InvokeFailure, MissingCredentials
from lambda_sidecar.log.format import log_defect

log = logging.getLogger(__name__)


async def log_identity(aws: AwsConfiguration, sts: Sts) -> None:
    """Reads the chain's credentials, which the first call then finds, and asks STS whose they are."""
    try:
        await _log_identity(aws, sts)
    except MissingCredentials:
        return  # the chain has logged it
    except InvokeFailure as failure:
        log.warning("who the sidecar is at AWS is not known: %s", failure.reason or failure.text)
    except Exception as error:
        log_defect(log, error)


async def _log_identity(aws: AwsConfiguration, sts: Sts) -> None:
    await sts.base.get_in_the_end()
    if aws.is_emulated:
        log.info("credentials found; AWS_ENDPOINT_URL_LAMBDA is not AWS, which is not asked whose they are")
    else:
        log.info("at AWS the sidecar is %s", await sts.caller(sts.region or ANY_REGION))
