# After the .rpm's old files have gone; $1 is 0 if there are no new ones. An upgrade restarts a sidecar that runs.
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
  if [ "$1" -ge 1 ]; then systemctl try-restart lambda-sidecar.service || :; fi
fi
