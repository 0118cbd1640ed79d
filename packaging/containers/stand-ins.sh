#!/bin/bash
# Builds stand-ins for base images from Debian's packages, under the official images' names, on machines that reach no
# image registry. Knows what our Dockerfiles take for granted of these images; nothing of lambda-udf.
# They hold this machine's mirror, proxy and certificates, and stay on it; `docker image rm` makes the next run build anew.
# usage: stand-ins.sh IMAGE…   - each image that is not here is pulled; a stand-in is made only if no registry answers
# PYTHON: an interpreter with pip, whose settings for the network (index, proxy, certificates) the Python image gets.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd -- "$here/../.." && pwd)
LABEL=lambda-udf.stand-in
# Of what makes them: a stand-in that an older release of this project has made is made anew.
recipe=$(cat "$here/stand-ins.sh" "$here/mysql-entrypoint.sh" "$root/packaging/debian/root-file-system.sh" | sha256sum | cut -c1-16)
CERTIFICATES=/etc/ssl/certs/ca-certificates.crt

say() { printf 'images: %s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

temporary=$(mktemp -d)
trap 'wait; rm -rf -- "$temporary"' EXIT
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0}

# Where the registry has answered (no such tag, a limit), that is what the user must hear.
pull() {
  local reason made
  if made=$(docker image inspect --format "{{index .Config.Labels \"$LABEL\"}}" "$1" 2>/dev/null); then
    case $made in '' | '<no value>' | "$recipe") return ;; esac
  fi
  if reason=$(docker pull --quiet "$1" 2>&1 >/dev/null); then return; fi
  if grep -qiE 'manifest|not found|denied|unauthorized|toomanyrequests|no space' <<<"$reason"; then die "$1: ${reason##*$'\n'}"; fi
  return 1
}

# SUITE PACKAGES [OPTION…]: a root file system in $temporary/SUITE.tar.
root_file_system() {
  "$root/packaging/debian/root-file-system.sh" "$1" "$2" "$temporary/$1.tar" "${@:3}"
}

import() { # FILE IMAGE [INSTRUCTION…]
  local -a changes=(--change "LABEL $LABEL=$recipe")
  local instruction
  for instruction in "${@:3}"; do changes+=(--change "$instruction"); done
  docker import "${changes[@]}" "$1" "$2" >/dev/null
  rm -f -- "$1"
}

stand_in_debian() { # IMAGE CODENAME
  root_file_system "$2" apt
  import "$temporary/$2.tar" "$1" 'CMD ["bash"]'
}

stand_in_python() { # IMAGE CODENAME
  # After the packages: the one of ca-certificates would put its own there.
  cp -- "$CERTIFICATES" "$temporary/ca-certificates.crt" 2>/dev/null || : >"$temporary/ca-certificates.crt"
  docker build --quiet --label "$LABEL=$recipe" --tag "$1" --file - "$temporary" >"$temporary/python.log" 2>&1 <<EOF ||
FROM debian:$2-slim
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/* \
 && ln -s /usr/bin/python3 /usr/local/bin/python
COPY pip.conf /etc/
COPY ca-certificates.crt $CERTIFICATES
CMD ["python"]
EOF
    { tail -n 20 "$temporary/python.log" >&2; die "$1 could not be built"; }
}

# Accounts, folders, option file, volume and ports as in the official image's Dockerfile.
stand_in_mysql() { # IMAGE
  cat >"$temporary/my.cnf" <<'EOF'
[mysqld]
host-cache-size=0
skip-name-resolve
datadir=/var/lib/mysql
socket=/var/run/mysqld/mysqld.sock
secure-file-priv=/var/lib/mysql-files
user=mysql
pid-file=/var/run/mysqld/mysqld.pid
[client]
socket=/var/run/mysqld/mysqld.sock

!includedir /etc/mysql/conf.d/
EOF
  # Kept where a later installation of ca-certificates, which writes its own file, takes them from.
  local -a certificates=()
  if [[ -e $CERTIFICATES ]]; then
    certificates=(--customize-hook='mkdir -p "$1/usr/local/share/ca-certificates"'
      --customize-hook="upload $CERTIFICATES /usr/local/share/ca-certificates/of-this-machine.crt")
  fi
  root_file_system sid apt,mysql-server-core,mysql-client-core,tzdata --skip=cleanup/run \
    --customize-hook='chroot "$1" groupadd --system --gid 999 mysql' \
    --customize-hook='chroot "$1" useradd --system --uid 999 --gid 999 --home-dir /var/lib/mysql --no-create-home mysql' \
    --customize-hook='chroot "$1" install -d -o mysql -g mysql -m 1777 /var/lib/mysql /var/run/mysqld' \
    --customize-hook='chroot "$1" install -d -o mysql -g mysql -m 0750 /var/lib/mysql-files' \
    --customize-hook='mkdir -p "$1/docker-entrypoint-initdb.d" "$1/etc/mysql/conf.d"; rm -f "$1/etc/my.cnf"' \
    --customize-hook="upload $temporary/my.cnf /etc/my.cnf" \
    --customize-hook="upload $temporary/pip.conf /etc/pip.conf" \
    "${certificates[@]}" \
    --customize-hook="upload $here/mysql-entrypoint.sh /usr/local/bin/docker-entrypoint.sh" \
    --customize-hook='chmod 755 "$1/usr/local/bin/docker-entrypoint.sh"'
  import "$temporary/sid.tar" "$1" 'ENTRYPOINT ["docker-entrypoint.sh"]' 'CMD ["mysqld"]' 'VOLUME /var/lib/mysql' 'EXPOSE 3306 33060'
}

missing=()
for image in "$@"; do pull "$image" || missing+=("$image"); done
((${#missing[@]})) || exit 0

say "no image registry is reachable: building stand-ins from Debian's packages for ${missing[*]}"
"$root/packaging/debian/install-packages.sh" stand-ins
"$root/packaging/debian/root-file-system.sh" --pip-settings >"$temporary/pip.conf"
debian='' other=()
for image in "${missing[@]}"; do
  case $image in
    debian:bookworm-slim) debian=yes ;;
    python:3.11-slim-bookworm | mysql:9.7) other+=("$image") ;;
    *) die "there is no stand-in for $image" ;;
  esac
done

# Two at a time: MySQL's tree, and Debian's with Python's on top of it.
if [[ " ${other[*]} " == *" mysql:9.7 "* ]]; then
  stand_in_mysql mysql:9.7 &
  child=$!
fi
if [[ -n $debian ]]; then stand_in_debian debian:bookworm-slim bookworm; fi
if [[ " ${other[*]} " == *" python:3.11-slim-bookworm "* ]]; then stand_in_python python:3.11-slim-bookworm bookworm; fi
if [[ -n ${child-} ]]; then wait "$child"; fi
