#!/bin/sh
# After the .deb's files have gone. What the administrator made stays, and so does the account.
set -e

units=/etc/systemd/system
if [ "$1" = purge ]; then
  rm -f "$units/multi-user.target.wants/lambda-sidecar.service" "$units/paths.target.wants/lambda-sidecar-first-start.path"
fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
