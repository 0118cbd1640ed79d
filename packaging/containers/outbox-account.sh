#!/bin/bash
# The account by which the sidecar delivers lambda_udf.outbox: lambda_outbox@localhost, over mysqld's socket alone.
# LAMBDA_OUTBOX_PASSWORD is its password, or LAMBDA_OUTBOX_PASSWORD_FILE names a file with it in the first line; without
# either there is no such account. One of the image's init scripts; run again, it gives the account the password of now.
set -euo pipefail

password=${LAMBDA_OUTBOX_PASSWORD-}
if [[ -n ${LAMBDA_OUTBOX_PASSWORD_FILE-} ]]; then
  if [[ -n $password ]]; then
    echo "both LAMBDA_OUTBOX_PASSWORD and LAMBDA_OUTBOX_PASSWORD_FILE are set (but are exclusive)" >&2
    exit 1
  fi
  IFS= read -r password <"$LAMBDA_OUTBOX_PASSWORD_FILE" || [[ -n $password ]]
fi
[[ -n $password ]] || exit 0

text=${password//\\/\\\\}
MYSQL_PWD=${MYSQL_ROOT_PASSWORD-} mysql --protocol=socket --user=root <<SQL
SET SESSION sql_log_bin = 0, sql_mode = '';
CREATE USER IF NOT EXISTS lambda_outbox@localhost;
ALTER USER lambda_outbox@localhost IDENTIFIED BY '${text//\'/\\\'}';
GRANT SELECT, DELETE ON lambda_udf.outbox TO lambda_outbox@localhost;
GRANT SELECT, INSERT, UPDATE, DELETE ON lambda_udf.outbox_waiting TO lambda_outbox@localhost;
GRANT SELECT, INSERT, UPDATE, DELETE ON lambda_udf.outbox_dead TO lambda_outbox@localhost;
GRANT SELECT, INSERT, UPDATE, DELETE ON lambda_udf.outbox_results TO lambda_outbox@localhost;
GRANT SELECT, INSERT, UPDATE, DELETE ON lambda_udf.outbox_deduplication TO lambda_outbox@localhost;
GRANT SELECT ON lambda_udf.outbox_lock TO lambda_outbox@localhost;
GRANT SELECT ON lambda_udf.schema_version TO lambda_outbox@localhost;
GRANT SELECT ON performance_schema.replication_group_members TO lambda_outbox@localhost;
SQL
