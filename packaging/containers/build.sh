#!/bin/bash
# Builds the images lambda-udf/mysql, lambda-udf/sidecar and lambda-udf/development; Docker's cache makes a second run a matter of seconds.
# Knows names and tags; what is in the images is in the Dockerfiles.
# MYSQL_TAG: which of MySQL's official images, 9.7 or 8.4. Default 9.7.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

tag=${MYSQL_TAG:-9.7}
release=$("${PYTHON:-python3}" packaging/wheel/release_number.py)

if ! reason=$(docker version 2>&1 >/dev/null); then
  echo "images: no Docker Engine answers: ${reason##*$'\n'}" >&2
  exit 1
fi
# The client without its builder plugin falls back to the old builder, which does as well.
docker buildx version >/dev/null 2>&1 || export DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0}

# Tests in several processes may want them at once.
exec 9>"${TMPDIR:-/tmp}/lambda-udf-images-$(id -u).lock"
flock 9

build() { # IMAGE [ARGUMENT…]
  local log before
  before=$(docker image inspect --format '{{.Id}}' "$1" 2>/dev/null) || before=
  if ! log=$(docker build --quiet --tag "$@" . 2>&1); then
    printf '%s\n' "$log" >&2
    echo "images: $1 could not be built" >&2
    return 1
  fi
  # The image that had the name is of no more use to anybody, unless a container runs on it.
  if [[ -n $before && $before != "$(docker image inspect --format '{{.Id}}' "$1")" ]]; then
    docker image rm "$before" >/dev/null 2>&1 || true
  fi
  echo "$1"
}

packaging/containers/stand-ins.sh debian:bookworm-slim python:3.11-slim-bookworm "mysql:$tag" 9>&-
sidecar_image=lambda-udf/sidecar:${release%.*}
build "$sidecar_image" --file Dockerfile.sidecar --build-arg "LAMBDA_UDF_RELEASE=$release" 9>&- &
sidecar=$!
status=0
build "lambda-udf/mysql:$tag" --file Dockerfile.mysql --build-arg "MYSQL_IMAGE=mysql:$tag" 9>&- || status=$?
wait "$sidecar" || status=$?
((status == 0)) || exit "$status"
# Made of the other two.
build "lambda-udf/development:$tag" --file Dockerfile.development --build-arg "MYSQL_IMAGE=lambda-udf/mysql:$tag" \
  --build-arg "SIDECAR_IMAGE=$sidecar_image" 9>&-
