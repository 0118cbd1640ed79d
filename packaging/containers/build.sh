#!/bin/bash
# Builds the images lambda-udf/mysql and lambda-udf/sidecar; Docker's cache makes a second run a matter of seconds.
# Knows names and tags; what is in the images is in the Dockerfiles.
# MYSQL_TAG: which of MySQL's official images, 9.7 or 8.4. Default 9.7.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

tag=${MYSQL_TAG:-9.7}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)

if ! reason=$(docker info 2>&1 >/dev/null); then
  echo "images: Docker Engine does not answer: ${reason%%$'\n'*}" >&2
  exit 1
fi
# The client without its builder plugin falls back to the old builder, which does as well.
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0}

# Tests in several processes may want them at once.
exec 9>"${TMPDIR:-/tmp}/lambda-udf-images-$(id -u).lock"
flock 9

build() { # IMAGE [ARGUMENT…]
  local log
  if log=$(docker build --quiet --tag "$@" . 2>&1 9>&-); then echo "$1"; return; fi
  printf '%s\n' "$log" >&2
  echo "images: $1 could not be built" >&2
  exit 1
}

packaging/containers/stand-ins.sh debian:bookworm-slim python:3.11-slim-bookworm "mysql:$tag" 9>&-
build "lambda-udf/mysql:$tag" --file Dockerfile.mysql --build-arg "MYSQL_IMAGE=mysql:$tag"
build "lambda-udf/sidecar:$version" --file Dockerfile.sidecar
