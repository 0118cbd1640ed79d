# Before the .rpm's files come; $1 is more than 1 for an upgrade.
# An administrator's edit starts the service; the configuration that a new package brings does not.
if [ "$1" -gt 1 ] && [ -d /run/systemd/system ]; then systemctl stop lambda-sidecar-first-start.path || :; fi
