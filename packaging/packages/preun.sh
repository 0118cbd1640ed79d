# Before the .rpm's files go; $1 is 0 if they go for good.
if [ "$1" -eq 0 ]; then
  if [ -d /run/systemd/system ]; then systemctl stop lambda-sidecar-first-start.path lambda-sidecar.service || :; fi
  systemctl disable --quiet lambda-sidecar-first-start.path lambda-sidecar.service || :
  /usr/lib/lambda-udf/machine remove || :
fi
