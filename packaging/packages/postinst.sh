#!/bin/sh
# After the .deb's files have come: account, caches, AppArmor's rule; an upgrade restarts a sidecar that runs.
# The service begins when its configuration is edited for the first time (lambda-sidecar-first-start.path).
set -e

if [ "$1" = configure ]; then
  /usr/lib/lambda-udf/machine add
  if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
  if [ -n "${2-}" ]; then
    if [ -d /run/systemd/system ]; then deb-systemd-invoke try-restart lambda-sidecar.service || true; fi
  else
    systemctl enable --quiet lambda-sidecar-first-start.path
    if [ -d /run/systemd/system ]; then deb-systemd-invoke start lambda-sidecar-first-start.path; fi
  fi
fi
