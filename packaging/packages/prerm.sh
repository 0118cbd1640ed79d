#!/bin/sh
# Before the .deb's files go, or are replaced.
set -e

if [ "$1" = remove ]; then
  if [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop lambda-sidecar-first-start.path lambda-sidecar.service || true
  fi
  systemctl disable --quiet lambda-sidecar-first-start.path lambda-sidecar.service
  /usr/lib/lambda-udf/machine remove
else
  /usr/lib/lambda-udf/machine clear
fi
