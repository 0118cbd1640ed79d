"""The outbox as `lambda-sidecar check` looks at it: the server, the account's rights, and who delivers.

Changes nothing; rights.py finds out which of the account's are missing."""

from __future__ import annotations

import asyncio
import time

from lambda_sidecar.calls.finding import Findings
from lambda_sidecar.config.outbox import OutboxSettings
from lambda_sidecar.outbox import election, rights, schema
from lambda_sidecar.outbox.candidacy import RETRY_MAX
from lambda_sidecar.outbox.session import Session, connect
from lambda_sidecar.outbox.session_errors import SessionLost, StatementFailed

STEP = "outbox"
# A sidecar that runs has looked at the server and its tables again by then, and has been elected: right after
# an installation it may not have.
ELECTED_SECONDS = max(RETRY_MAX, election.ELECTION_SECONDS) + 3
_AGAIN_SECONDS = 0.2


async def look_at_outbox(settings: OutboxSettings, report: Findings, *, patience: float = 0) -> None:
    """One line for each thing that is as it should be, and one for each that is not. For `patience` seconds a
    sidecar may yet be elected."""
    try:
        session = await connect(settings)
    except SessionLost as error:
        report.fail(STEP, f"{settings}: {error}{_hint(settings, error)}")
        return
    try:
        await _look(session, settings, report, patience)
    except (SessionLost, StatementFailed) as error:
        report.fail(STEP, f"{settings}: {error}")
    finally:
        await session.close()


def _hint(settings: OutboxSettings, error: SessionLost) -> str:
    if error.is_unreachable:
        return "; is mysqld running there?"
    # Also where the text is another: for an account that is not there, mysqld makes up how it logs in.
    return (
        f"; is there an account '{settings.user}', with the password of password_file?"
        " lambda-sidecar install --outbox-account gives it its rights"
    )


async def _look(session: Session, settings: OutboxSettings, report: Findings, patience: float) -> None:
    account = await rights.account_of(session)
    report.ok(STEP, f"{settings} takes the account {rights.quoted(account)}")
    if not await _look_at_schema(session, account, report):
        return
    obstacle = await election.obstacle(session)
    # A server that is read-only refuses the others before it looks at the account.
    probed = schema.ALL_RIGHTS if obstacle is None else ("SELECT",)
    lacking = await rights.lacking(session, probed=probed)
    for grant in await rights.grants(session, lacking):
        report.fail(STEP, f"the account lacks rights: {grant}")
    if not lacking:
        which = "rights" if obstacle is None else "rights to read"
        report.ok(STEP, f"the account has the {which} that delivery needs")
    if not await election.sees_group(session):
        grant = f"GRANT SELECT ON {schema.GROUP_MEMBERS} TO {rights.quoted(account)}"
        report.warn(STEP, f"in a group of several primaries each of them would deliver: {grant}")
    if obstacle is not None:
        report.warn(STEP, f"{obstacle}: from here nothing is delivered until that changes")
    elif "outbox_lock" in lacking:
        return  # who delivers cannot be asked
    elif holder := await _holder(session, patience):
        report.ok(STEP, f"the server's connection {holder} delivers")
    else:
        report.fail(STEP, "nobody delivers; is the sidecar running? Its log says why it does not")


async def _holder(session: Session, patience: float) -> int | None:
    until = time.monotonic() + patience
    # A server tells nobody that somebody has been elected.
    while (holder := await election.holder(session)) is None and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(_AGAIN_SECONDS)
    return holder


async def _look_at_schema(session: Session, account: str, report: Findings) -> bool:
    """Whether the tables are those that this sidecar knows."""
    try:
        version = int(await session.value("SELECT MAX(version) FROM lambda_udf.schema_version") or 0)
    except StatementFailed as error:
        if error.is_right_missing:
            grant = f"GRANT SELECT ON lambda_udf.schema_version TO {rights.quoted(account)}"
            report.fail(STEP, f"the account lacks rights, or there is no schema lambda_udf: {grant}")
            return True
        if not error.is_not_there:
            raise
        version = 0
    if version < schema.VERSION:
        found = f"the schema has version {version}" if version else "there is no schema lambda_udf"
        report.fail(STEP, f"{found}, and version {schema.VERSION} is needed: run lambda-sidecar install")
        return False
    report.ok(STEP, f"the schema has version {version}")
    return True
