#!/bin/bash
# Runs make in a clone of this checkout's HEAD on a fresh Debian: a root file system of nothing but make, git and
# Python, in namespaces of its own. Shows that the two commands of README bring all they need. As root.
# usage: fresh-machine.sh SUITE TARGET…  - bookworm (Debian 12) or trixie (Debian 13); targets of the Makefile
#   JOBS, PYTEST_ARGS    reach make
# The machine's mirror, proxy and certificates are used; what apt and pip fetched is gone with the folder.
set -euo pipefail
export LC_ALL=C

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
checkout=$(git -C "$here" rev-parse --show-toplevel)
(($# >= 2)) || { echo "usage: $0 SUITE TARGET…" >&2; exit 2; }
if [[ $(id -u) -ne 0 ]]; then echo "fresh-machine.sh: a root file system is made and entered as root" >&2; exit 1; fi
suite=$1
shift

"$here/install-packages.sh" stand-ins
temporary=$(mktemp -d)
trap 'rm -rf -- "$temporary"' EXIT
machine=$temporary/root
mkdir "$machine"
echo "fresh-machine.sh: Debian $suite …" >&2
"$here/root-file-system.sh" "$suite" apt,ca-certificates,git,make,procps,python3 "$temporary/$suite.tar"
tar -C "$machine" -xf "$temporary/$suite.tar"
rm -f -- "$temporary/$suite.tar"
cp -L /etc/resolv.conf /etc/hosts "$machine/etc/"
cp -L /etc/ssl/certs/ca-certificates.crt "$machine/etc/ssl/certs/" 2>/dev/null || true
"$here/root-file-system.sh" --pip-settings >"$machine/etc/pip.conf"
apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries|ForceIPv)[^"]*"[^"]+";' >"$machine/etc/apt/apt.conf.d/99network" || true
git clone --quiet "$checkout" "$machine/lambda-udf"

inside=$(cat <<'EOF'
set -eu
mount --make-rprivate /
mount -t proc proc "$0/proc"
mount --rbind /sys "$0/sys"
mount --rbind /dev "$0/dev"
mount -t tmpfs -o mode=1777 tmpfs "$0/tmp"
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM-dumb}" \
  JOBS="$JOBS" PYTEST_ARGS="${PYTEST_ARGS-}" chroot "$0" make -C /lambda-udf JOBS="$JOBS" PYTEST_ARGS="${PYTEST_ARGS-}" "$@"
EOF
)
export JOBS=${JOBS:-$(($(nproc) + 1))}
for target in "$@"; do
  echo "fresh-machine.sh: make $target on Debian $suite" >&2
  unshare --mount --pid --ipc --uts --fork --kill-child -- sh -c "$inside" "$machine" "$target"
done
