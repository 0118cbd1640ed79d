#!/bin/sh
# Before the .deb's files go, or are replaced. What was enabled stays so, for an installation after a removal.
set -e

# An administrator's edit starts the service; the configuration that a new package brings does not.
if [ -d /run/systemd/system ]; then deb-systemd-invoke stop lambda-sidecar-first-start.path || true; fi
if [ "$1" = remove ]; then
  if [ -d /run/systemd/system ]; then deb-systemd-invoke stop lambda-sidecar.service || true; fi
  /usr/lib/lambda-udf/machine remove
else
  /usr/lib/lambda-udf/machine clear
fi
