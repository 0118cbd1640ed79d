#!/bin/sh
# After the .deb's files have come, or when replacing or removing them has failed: account, caches, AppArmor's rules,
# and the service as it was. The first installation's begins when its configuration is edited
# (lambda-sidecar-first-start.path).
set -e

/usr/lib/lambda-udf/machine add
action=start
if [ "$1" = configure ]; then
  if [ -n "${2-}" ]; then action=restart
  else systemctl enable --quiet lambda-sidecar-first-start.path || true; fi
fi
# deb-systemd-invoke leaves alone what is disabled and does not run.
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
  deb-systemd-invoke start lambda-sidecar-first-start.path || true
  deb-systemd-invoke "$action" lambda-sidecar.service || true
fi
