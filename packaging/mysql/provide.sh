#!/bin/bash
# Prints a folder whose bin/ holds a working MySQL 8.0 or newer: mysqld, mysql, mysqldump, mysqladmin,
# mysqlslap, mysqlbinlog. Knows nothing of lambda-udf: finding, unpacking and wrapping is all it does.
#
# An installed MySQL comes first; MariaDB never counts. Otherwise Debian's packages (suite sid, from the
# mirror that this machine uses) are unpacked, without root, into a cache folder outside the checkout.
#   LAMBDA_UDF_CACHE     cache folder; default ${XDG_CACHE_HOME:-~/.cache}/lambda-udf
#   LAMBDA_UDF_MIRROR    URI of a Debian archive to use instead of the machine's own
#   LAMBDA_UDF_UNPACKED  1: leave an installed MySQL aside
#   LAMBDA_UDF_PRELOAD   read by the commands in bin/: libraries to load first, separated by colons
set -euo pipefail
export LC_ALL=C

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cache=${LAMBDA_UDF_CACHE:-${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/lambda-udf}
commands=(mysqld mysql mysqldump mysqladmin mysqlslap mysqlbinlog)
arch=$(uname -m)
temporary=
child=

say() { printf 'provide.sh: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

clean_up() {
  local status=$?
  trap - EXIT INT TERM HUP
  if [[ -n $child ]]; then kill "$child" 2>/dev/null || true; wait "$child" 2>/dev/null || true; fi
  if [[ -n $temporary ]]; then rm -rf -- "$temporary"; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# In the background, so that a signal ends the wait at once and clean_up can end the child. 9 is the lock.
run() {
  local status=0
  "$@" 9>&- &
  child=$!
  wait "$child" || status=$?
  child=
  return "$status"
}

# MySQL's version (8.0.36) if the program at $1 is MySQL >= 8.0; fails for MariaDB and for all else.
mysql_version() {
  local text
  text=$(timeout 10 "$1" --no-defaults --version 2>/dev/null </dev/null) || return 1
  [[ ${text,,} != *mariadb* && $text =~ Ver\ ([0-9]+)(\.[0-9]+\.[0-9]+) ]] || return 1
  ((BASH_REMATCH[1] >= 8)) || return 1
  printf '%s%s\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
}

# Fills programs[] with an installed MySQL and sets version; fails if there is none.
declare -A programs=()
find_installed() {
  local server command path
  local -a places
  IFS=: read -r -a places <<<"${PATH}:/usr/local/mysql/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/usr/libexec"
  for server in "${places[@]/%//mysqld}"; do
    [[ -f $server && -x $server ]] && version=$(mysql_version "$server") || continue
    programs=([mysqld]=$server)
    for command in "${commands[@]:1}"; do
      for path in "${server%/*}/$command" "${server%/*}/../bin/$command" "${places[@]/%//$command}"; do
        [[ -f $path && -x $path ]] && mysql_version "$path" >/dev/null || continue
        programs[$command]=$path
        break
      done
    done
    if [[ -n ${programs[mysql]-} && -n ${programs[mysqladmin]-} && -n ${programs[mysqldump]-} ]]; then return 0; fi
    say "$server is MySQL $version, but its client (mysql, mysqladmin, mysqldump) is not installed: leaving it aside"
  done
  programs=()
  return 1
}

# The mysqld of a distribution may be confined (AppArmor) to its own data; started by the loader it is not.
loader_if_confined() {
  local loader
  if [[ -e /etc/apparmor.d/usr.sbin.mysqld ]]; then
    for loader in /lib64/ld-linux*.so.* /lib/ld-linux*.so.*; do
      if [[ -x $loader ]]; then printf '%q ' "$loader"; return; fi
    done
  fi
}

wrap_installed() {
  local command prefix
  mkdir "$1/bin"
  for command in "${!programs[@]}"; do
    prefix=
    if [[ $command == mysqld ]]; then prefix=$(loader_if_confined); fi
    printf '#!/bin/sh\n%s\n%s\nexec %s%q "$@"\n' \
      '# The installed program, with LAMBDA_UDF_PRELOAD (libraries, separated by colons) loaded first.' \
      'if [ -n "${LAMBDA_UDF_PRELOAD-}" ]; then export LD_PRELOAD="$LAMBDA_UDF_PRELOAD"; fi' \
      "$prefix" "${programs[$command]}" >"$1/bin/$command"
    chmod 755 "$1/bin/$command"
  done
}

wrap_unpacked() {
  local command
  mkdir "$1/bin"
  for command in "${commands[@]}"; do
    install -m 755 "$here/unpacked-command.sh" "$1/bin/$command"
  done
}

# "URI keyring trusted" of this machine's Debian archive: of the deb lines with component main and a suite
# that is a Debian release, one whose address ends in /debian before others. Both formats of apt's files.
debian_mirror() {
  local codename
  codename=$(. /etc/os-release 2>/dev/null && printf '%s' "${VERSION_CODENAME-}") || codename=
  [[ -n ${LAMBDA_UDF_MIRROR-} ]] && { printf '%s - no\n' "$LAMBDA_UDF_MIRROR"; return; }
  shopt -s nullglob
  local -a files=(/etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources)
  shopt -u nullglob
  [[ -e ${files[0]} ]] || files=("${files[@]:1}")
  ((${#files[@]})) || return 1
  awk -v codename="$codename" -f "$here/debian-mirror.awk" "${files[@]}"
}

apt() { run apt-get -c "$temporary/apt.conf" -qq "$@" >>"$temporary/log" 2>&1; }

apt_failed() {
  local reason
  reason=$(grep -E '^(E|W): ' "$temporary/log" | head -n 1 | sed -E 's,//[^/@ ]*@,//,') || reason=
  die "$1: ${reason:-$(tail -n 1 "$temporary/log")}. Nothing was kept. Check network, proxy and disk space" \
    "and run it again, or install MySQL 8.0 or newer yourself."
}

# Downloads and unpacks into $temporary/tree, wrappers included; sets version.
unpack() {
  local mirror uri keyring trusted options deb_arch package program
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
    die "there is no MySQL 8.0 or newer here, and no apt to fetch Debian's. Install MySQL (server and client) and run it again."
  mirror=$(debian_mirror) && [[ -n $mirror ]] ||
    die "there is no MySQL 8.0 or newer here, and apt's sources name no Debian archive to fetch it from." \
      "Install MySQL (server and client), or set LAMBDA_UDF_MIRROR to the URI of a Debian archive."
  read -r uri keyring trusted <<<"$mirror"
  deb_arch=$(dpkg --print-architecture)
  if [[ $keyring != /* ]]; then
    for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp} ''; do [[ -e $keyring ]] && break; done
  fi
  options="arch=$deb_arch target=Packages pdiffs=no${keyring:+ signed-by=$keyring}"
  if [[ $trusted == yes ]]; then options+=' trusted=yes'; fi

  mkdir -p "$temporary"/{state/lists/partial,cache/archives/partial,tree/root}
  printf 'deb [%s] %s sid main\n' "$options" "$uri" >"$temporary/sources.list"
  # mysql-client-core's Perl scripts are not used: for apt, Perl is there already.
  printf 'Package: perl\nStatus: install ok installed\nMulti-Arch: allowed\nArchitecture: %s\nVersion: 999\nMaintainer: -\nDescription: -\n' \
    "$deb_arch" >"$temporary/status"
  # Everything the machine says about proxies, credentials and timeouts stays; hooks, pins and sources go.
  cat >"$temporary/apt.conf" <<EOF
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
Dir::State "$temporary/state";
Dir::State::status "$temporary/status";
Dir::Cache "$temporary/cache";
Dir::Etc::SourceList "$temporary/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Architecture "$deb_arch";
APT::Architectures { "$deb_arch"; };
APT::Sandbox::User "";
APT::Install-Recommends "false";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
Acquire::Retries "2";
EOF
  say "no MySQL 8.0 or newer is installed: fetching Debian's packages (about 60 MB, once) into $cache"
  apt update || apt_failed "the list of Debian's packages could not be fetched"
  apt install --yes --download-only mysql-server-core mysql-client-core ||
    apt_failed "Debian's MySQL packages could not be fetched"
  for package in "$temporary"/cache/archives/*.deb; do
    run dpkg-deb -x "$package" "$temporary/tree/root" >>"$temporary/log" 2>&1 || apt_failed "$(basename "$package") could not be unpacked"
  done
  rm -rf -- "$temporary"/tree/root/{etc,usr/share/{doc,man,locale,lintian,gcc,gdb}}
  for program in "$temporary"/tree/root/usr/bin/*; do
    [[ " ${commands[*]} " == *" ${program##*/} "* ]] || rm -f -- "$program"
  done
  wrap_unpacked "$temporary/tree"
  version=$(mysql_version "$temporary/tree/bin/mysqld") && mysql_version "$temporary/tree/bin/mysql" >/dev/null ||
    die "the unpacked MySQL does not run here: $("$temporary/tree/bin/mysqld" --no-defaults --version 2>&1 | tail -n 1)"
}

# The newest finished folder, if any. No lock is needed: a folder appears whole, by one rename.
finished() {
  local folder
  for folder in "$cache"/mysql-*-"$arch"; do [[ -x $folder/bin/mysqld ]] && printf '%s\n' "$folder"; done |
    sort -V | tail -n 1 | grep .
}

version=
installed=
if [[ -z ${LAMBDA_UDF_UNPACKED-} ]] && find_installed; then
  # Named by what it wraps, so that an upgrade makes a new one.
  installed=$(printf '%s\n' "${programs[@]}" | sort | xargs -d '\n' stat -Lc '%n %s %Y' | cksum)
  folder=$cache/installed-$version-${installed%% *}
  if [[ -x $folder/bin/mysqld ]]; then printf '%s\n' "$folder"; exit; fi
elif finished; then
  exit
fi

umask 022
mkdir -p "$cache" 2>/dev/null && [[ -w $cache ]] || die "the cache folder $cache cannot be written: set LAMBDA_UDF_CACHE to one that can"
cache=$(cd -- "$cache" && pwd)
exec 9>"$cache/.lock"
if ! flock --nonblock 9; then
  say "another run is at work in $cache: waiting for it"
  flock 9 &
  child=$!
  wait "$child"
  child=
fi
# Whoever made these died: the lock is ours.
rm -rf -- "$cache"/.unpack.*
temporary=$(mktemp -d "$cache/.unpack.XXXXXX")
chmod 755 "$temporary"
mkdir "$temporary/tree"
if [[ -n $installed ]]; then
  folder=$cache/installed-$version-${installed%% *}
  [[ -x $folder/bin/mysqld ]] || wrap_installed "$temporary/tree"
else
  if finished; then exit; fi
  unpack
  folder=$cache/mysql-$version-$arch
fi
if [[ ! -x $folder/bin/mysqld ]]; then
  rm -rf -- "$folder"
  mv -T -- "$temporary/tree" "$folder"
fi
say "MySQL $version is ready in $folder"
printf '%s\n' "$folder"
