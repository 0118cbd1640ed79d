# After the .rpm's files have come; $1 is 1 for the first installation, more for an upgrade.
# The service begins when its configuration is edited for the first time (lambda-sidecar-first-start.path).
/usr/lib/lambda-udf/machine add || :
if [ "$1" -eq 1 ]; then systemctl enable --quiet lambda-sidecar-first-start.path || :; fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
  if systemctl is-enabled --quiet lambda-sidecar-first-start.path; then
    systemctl start lambda-sidecar-first-start.path || :
  fi
fi
