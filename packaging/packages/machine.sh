#!/bin/sh
# What the packages' scripts do with the machine, the same for .deb and .rpm; /usr/lib/lambda-udf/machine there.
# Knows accounts, AppArmor and Python's caches; systemd is called by the scripts, each as its system wants it.
# usage: machine add | clear | remove    - add: after the files have come; clear: before they go or are replaced;
#                                          remove: before they go for good
set -eu

PACKAGES=/usr/lib/lambda-udf/python
APPARMOR=/etc/apparmor.d
LOCAL=$APPARMOR/local/usr.sbin.mysqld
RULE='#include if exists <abstractions/lambda-udf>'

account() {
  if command -v systemd-sysusers >/dev/null; then systemd-sysusers /usr/lib/sysusers.d/lambda-sidecar.conf; fi
}

# The service cannot write there, and would compile everything at each start.
compile() {
  for minor in 14 13 12 11; do
    if [ -x "/usr/bin/python3.$minor" ]; then
      "/usr/bin/python3.$minor" -SPs -m compileall -q "$PACKAGES" >/dev/null 2>&1 || true
      return
    fi
  done
}

clear() { find "$PACKAGES" -depth -type d -name __pycache__ -exec rm -rf {} +; }

# mysqld's profile, where there is one or will be: this file is the administrator's, and stays over MySQL's upgrades.
allow() {
  [ -d "$APPARMOR/abstractions" ] || return 0
  if ! grep -qsxF "$RULE" "$LOCAL"; then
    mkdir -p "$APPARMOR/local"
    # A last line without an end would take the rule for its own.
    if [ -n "$(tail -c 1 "$LOCAL" 2>/dev/null)" ]; then echo >>"$LOCAL"; fi
    echo "$RULE" >>"$LOCAL"
  fi
  load # an upgrade may bring other rules behind the same line
}

forbid() {
  if grep -qsxF "$RULE" "$LOCAL"; then
    sed -i "\\|^$RULE\$|d" "$LOCAL"
    load
  fi
}

load() {
  if [ -f "$APPARMOR/usr.sbin.mysqld" ] && [ -d /sys/kernel/security/apparmor ] && command -v apparmor_parser >/dev/null; then
    apparmor_parser --replace "$APPARMOR/usr.sbin.mysqld" || true
  fi
}

case ${1-} in
  add) clear; account; compile; allow ;;
  clear) clear ;;
  remove) clear; forbid ;;
  *) echo "usage: $0 add | clear | remove" >&2; exit 2 ;;
esac
