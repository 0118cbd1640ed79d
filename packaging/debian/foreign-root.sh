#!/bin/bash
# Makes a folder with what the library and its C tests need of Debian's packages for another architecture: headers,
# libraries and that one's libc. Nothing in it is run here, and this machine's packages stay as they are.
# usage: foreign-root.sh amd64|arm64 FOLDER
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
(($# == 2)) || { echo "usage: $0 amd64|arm64 FOLDER" >&2; exit 2; }
architecture=$1 folder=$2

"$here/install-packages.sh" "cross-$architecture"
. /etc/os-release
[[ ${ID-} == debian && -n ${VERSION_CODENAME-} ]] ||
  { echo "foreign-root.sh: only Debian has compilers and libraries of $architecture from one place" >&2; exit 1; }
echo "Fetching Debian's libraries for $architecture …" >&2
rm -rf -- "$folder" "$folder.new"
mkdir -p "$(dirname -- "$folder")"
# One folder lib, as Debian has it since 12: the packages of Debian 12 name both.
"$here/root-file-system.sh" "$VERSION_CODENAME" libnghttp2-dev,libnanopb-dev,libcmocka-dev,libc6 "$folder.new" \
  --variant=extract --architectures="$architecture" \
  --setup-hook='mkdir -p "$1/usr/lib" && ln -s usr/lib "$1/lib"'
mv -- "$folder.new" "$folder"
