#!/bin/sh
# After the .deb's files have gone. What the administrator made stays, and so does the account.
set -e

if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
