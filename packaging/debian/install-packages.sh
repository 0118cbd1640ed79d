#!/bin/sh
# Installs the Debian packages that building and testing need, when root; otherwise prints the exact line.
# Does nothing, and needs no network, when all are there. With an argument: what that needs besides.
set -eu

case ${1-} in
  "") packages="gcc make libc6-dev libnghttp2-dev libnanopb-dev libcmocka-dev python3-venv binutils systemd apparmor" ;;
  # What makes a virtual environment; `make test-quick` needs no more.
  python) packages="python3-venv" ;;
  bench) packages="nginx libnginx-mod-http-echo libnginx-mod-http-headers-more-filter libmariadb-dev zlib1g-dev" ;;
  # promtool, which checks and tests alert rules, and Prometheus itself: 20 MB to fetch.
  prometheus) packages="prometheus" ;;
  # libFuzzer, and what shows its coverage: 56 MB to fetch.
  fuzz) packages="clang libclang-rt-dev llvm" ;;
  # Docker Engine with compose, and what builds stand-ins for base images.
  containers) packages="docker.io docker-compose iptables mmdebstrap" ;;
  stand-ins) packages="mmdebstrap" ;;
  *) echo "usage: $0 [python | bench | prometheus | fuzz | containers | stand-ins]" >&2; exit 2 ;;
esac

# Debian's python3-venv belongs to Debian's python3; another one that can make environments will do.
installed() {
  case $1 in
    python3-venv) "${PYTHON3:-python3}" -c 'import ensurepip, venv' 2>/dev/null ;;
    *) dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed ;;
  esac
}

missing=""
for package in $packages; do
  installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
command -v dpkg-query >/dev/null || {
  echo "This machine is not Debian or Ubuntu: install the equivalents of: $packages" >&2
  exit 1
}

if [ "$(id -u)" -ne 0 ]; then
  echo "Packages are missing. Run this, then make again:" >&2
  echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends$missing" >&2
  exit 1
fi
# Two that install at a time would refuse each other; apt's own lock it waits for too.
exec 9>"${TMPDIR:-/tmp}/lambda-udf-packages.lock"
flock 9
echo "Installing:$missing" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! {
  apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
    install -y --no-install-recommends $missing
} >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "apt-get could not install:$missing" >&2
  exit 1
fi
