"""The schema lambda_udf as delivery needs it: its version, its tables, and the account's rights on them.

Plain values, of udf/sql/install.sql; knows no connection."""

from __future__ import annotations

VERSION = 2
# What delivery needs, and no more: each table's rights, and one of its columns to ask with.
ALL_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
RIGHTS = {
    "outbox": ("id", ("SELECT", "DELETE")),
    "outbox_waiting": ("id", ALL_RIGHTS),
    "outbox_dead": ("id", ALL_RIGHTS),
    "outbox_results": ("outbox_id", ALL_RIGHTS),
    "outbox_deduplication": ("outbox_id", ALL_RIGHTS),
    "outbox_lock": ("token", ("SELECT",)),
}
# A group's primary is known there alone.
GROUP_MEMBERS = "performance_schema.replication_group_members"
# All of it, as GRANT and REVOKE take it.
DELIVERY = (
    *(f"{', '.join(rights)} ON lambda_udf.{table}" for table, (_, rights) in RIGHTS.items()),
    "SELECT ON lambda_udf.schema_version",
    f"SELECT ON {GROUP_MEMBERS}",
)
