#!/bin/bash
# The entry point of lambda-udf/development: the sidecar and MySQL in one container, which ends when one of them ends.
# Knows how both are started and stopped; variables, arguments and init scripts are those of MySQL's official image.
set -euo pipefail

if [[ ${1-} == -* ]]; then set -- mysqld "$@"; fi
if [[ ${1-} != mysqld ]]; then exec "$@"; fi

# For development nobody has to choose one.
if [[ -z ${MYSQL_ROOT_PASSWORD-}${MYSQL_ROOT_PASSWORD_FILE-}${MYSQL_ALLOW_EMPTY_PASSWORD-}${MYSQL_RANDOM_ROOT_PASSWORD-} ]]; then
  export MYSQL_ROOT_PASSWORD=lambda-udf
fi

children=()
stop() { kill -TERM "${children[@]}" 2>/dev/null || true; }
trap stop TERM INT

(
  unset "${!MYSQL_@}"
  exec setpriv --reuid=lambda-sidecar --regid=mysql --clear-groups \
    lambda-sidecar serve --config /etc/lambda-sidecar/sidecar.toml
) &
children+=($!)
docker-entrypoint.sh "$@" &
children+=($!)

# A signal ends this wait as well; the second one is for whoever is still there.
status=0
wait -n "${children[@]}" || status=$?
stop
for child in "${children[@]}"; do
  while kill -0 "$child" 2>/dev/null; do wait "$child" || true; done
done
exit "$status"
