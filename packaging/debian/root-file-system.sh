#!/bin/bash
# Makes a root file system of Debian's packages, from the mirror that this machine's apt uses: a tar file.
# Knows apt and mmdebstrap; nothing of what the file becomes. As root; packaging/debian/install-packages.sh has mmdebstrap.
# usage: root-file-system.sh SUITE PACKAGES FILE [OPTION…]  - PACKAGES between commas; OPTIONs are mmdebstrap's
#        root-file-system.sh --pip-settings                  - prints a pip.conf with this machine's settings for the network
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
CERTIFICATES=/etc/ssl/certs/ca-certificates.crt

die() { printf 'root-file-system.sh: %s\n' "$*" >&2; exit 1; }

# Settings of pip that are about the network; files of this machine are not in another one.
pip_settings() {
  echo '[global]'
  "${PYTHON:-python3}" -m pip config list |
    sed -nE "s/^(global|:env:)\.(index-url|extra-index-url|trusted-host|proxy|timeout|default-timeout)='(.*)'$/\2 = \3/p" |
    grep -v 'file:' | sort -u -t= -k1,1 || true
  if [[ -e $CERTIFICATES ]]; then echo "cert = $CERTIFICATES"; fi
}

# What this machine's apt needs to reach its mirror, and nothing else of its settings. A mirror's lists may be older
# than apt likes; they are signed all the same.
apt_settings() {
  apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries|ForceIPv)[^"]*"[^"]+";' || true
  echo 'Acquire::Check-Valid-Until "false";'
}

if [[ ${1-} == --pip-settings ]]; then pip_settings; exit; fi
(($# >= 3)) || die "usage: root-file-system.sh SUITE PACKAGES FILE [OPTION…]"
suite=$1 packages=$2 file=$3 options=
hooks=()
shift 3
temporary=$(mktemp -d)
trap 'rm -rf -- "$temporary"' EXIT
apt_settings >"$temporary/apt.conf"

# The same mirror as for the MySQL of the tests.
shopt -s nullglob
sources=(/etc/apt/sources.lis[t] /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources)
shopt -u nullglob
read -r uri keyring trusted < <(awk -v codename="$suite" -f "$here/../mysql/debian-mirror.awk" "${sources[@]}") &&
  [[ -n $uri ]] || die "apt's sources name no Debian archive"
if [[ $keyring == /* ]]; then
  options="signed-by=$keyring "
  if [[ $keyring != /usr/share/keyrings/debian-archive-* ]]; then hooks+=(--essential-hook="upload $keyring $keyring"); fi
fi
if [[ $trusted == yes ]]; then options+='trusted=yes '; fi
if [[ -e $CERTIFICATES ]]; then hooks+=(--customize-hook="mkdir -p \"\$1/etc/ssl/certs\"" --customize-hook="upload $CERTIFICATES $CERTIFICATES"); fi
mmdebstrap --quiet --variant=minbase --include="$packages" --aptopt="$temporary/apt.conf" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  "${hooks[@]}" "$@" "$suite" "$file" "deb ${options:+[$options]} $uri $suite main" 2>"$temporary/log" ||
  { tail -n 20 "$temporary/log" >&2; die "Debian's packages (suite $suite) could not be fetched or unpacked"; }
