#!/bin/sh
# Installs the Debian packages that building and testing need, when root; otherwise prints the exact line.
# Does nothing, and needs no network, when all are there. With an argument: what that needs besides.
# On a system without dpkg it looks for what the packages bring, and names what is not there.
set -eu

case ${1-} in
  # The library and the Python environment: `make build`, `make wheel`.
  "") packages="gcc make libc6-dev libnghttp2-dev libnanopb-dev python3-venv" ;;
  # What makes a virtual environment; `make test-quick` needs no more.
  python) packages="python3-venv" ;;
  # The C tests, the unit's tests and those of the AppArmor rules.
  tests) packages="libcmocka-dev binutils systemd apparmor" ;;
  bench) packages="nginx libnginx-mod-http-echo libnginx-mod-http-headers-more-filter libmariadb-dev zlib1g-dev" ;;
  # promtool, which checks and tests alert rules, and Prometheus itself: 20 MB to fetch.
  prometheus) packages="prometheus" ;;
  # libFuzzer, and what shows its coverage: 56 MB to fetch.
  fuzz) packages="clang libclang-rt-dev llvm" ;;
  # Docker Engine with compose, and what builds stand-ins for base images.
  containers) packages="docker.io docker-compose iptables mmdebstrap" ;;
  stand-ins) packages="mmdebstrap" ;;
  # The library for the other architecture; mmdebstrap fetches that one's headers.
  cross-arm64) packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross mmdebstrap" ;;
  cross-amd64) packages="gcc-x86-64-linux-gnu libc6-dev-amd64-cross mmdebstrap" ;;
  # What looks at the packages, and runs the C tests of the other architecture: 100 MB to fetch.
  package-tests) packages="lintian rpm rpmlint mandoc qemu-user zsh" ;;
  *)
    echo "usage: $0 [python | tests | bench | prometheus | fuzz | containers | stand-ins | cross-arm64 | cross-amd64 | package-tests]" >&2
    exit 2 ;;
esac

has_dpkg() { command -v dpkg-query >/dev/null; }

# Whether the C compiler takes a program that includes $1, linked with $2.
compiles() {
  printf '#include <stddef.h>\n#include <stdint.h>\n#include <%s>\nint main(void) { return 0; }\n' "$1" |
    "${CC:-cc}" -x c - -o /dev/null -I/usr/include/nanopb ${2:+"$2"} 2>/dev/null
}

# The same things elsewhere, under whatever names.
there() {
  case $1 in
    libc6-dev) compiles stdio.h ;;
    libnghttp2-dev) compiles nghttp2/nghttp2.h -lnghttp2 ;;
    libnanopb-dev) compiles pb_encode.h -l:libprotobuf-nanopb.a ;;
    libcmocka-dev) printf '#include <stdarg.h>\n#include <stddef.h>\n#include <setjmp.h>\n#include <stdint.h>\n#include <cmocka.h>\n' |
      "${CC:-cc}" -x c -fsyntax-only - 2>/dev/null ;;
    binutils) command -v readelf >/dev/null ;;
    systemd) command -v systemctl >/dev/null ;;
    apparmor) return 0 ;; # the tests of its rules are left out without it
    *) command -v "$1" >/dev/null ;;
  esac
}

# Debian's python3-venv belongs to Debian's python3; another one that can make environments will do.
installed() {
  if [ "$1" = python3-venv ]; then "${PYTHON3:-python3}" -c 'import ensurepip, venv' 2>/dev/null
  elif has_dpkg; then dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
  else there "$1"; fi
}

missing=""
for package in $packages; do
  installed "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
has_dpkg || {
  echo "This machine is not Debian or Ubuntu. Install what these packages of Debian bring, then make again:$missing" >&2
  echo "(on Enterprise Linux: dnf install gcc make glibc-devel libnghttp2-devel python3.12; nanopb with its static library)" >&2
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
