"""Whether containers can be run here, and what can be said of them without one.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import re
import subprocess

import pytest
from tests.support.checkout import ROOT
from tests.support.containers import (
    DEVELOPMENT_IMAGE,
    MYSQL_IMAGE,
    SIDECAR_IMAGE,
    build_images,
    engine,
    why_no_engine,
)

COMPOSE_FILE = (ROOT / "compose.yaml").read_text()


def test_make_images_builds_all_and_a_second_run_changes_none() -> None:
    if reason := why_no_engine():
        pytest.skip(f"tests/containers is left out: {reason}")
    seen = []
    for _ in range(2):
        build_images()
        with engine() as client:
            seen.append(
                [client.images.get(name).id for name in (MYSQL_IMAGE, SIDECAR_IMAGE, DEVELOPMENT_IMAGE)]
            )
    assert seen[0] == seen[1]


def test_an_engine_that_does_not_answer_is_said_in_one_line() -> None:
    done = subprocess.run(
        [ROOT / "packaging/containers/build.sh"],
        env={"PATH": "/usr/bin:/bin", "DOCKER_HOST": "unix:///nonexistent/docker.sock"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"images: .*docker.*\n", done.stderr, re.IGNORECASE)


def test_compose_publishes_mysqls_port_on_loopback_only() -> None:
    published = re.findall(r'^      - "(.+):3306"$', COMPOSE_FILE, re.MULTILINE)
    assert published == ["127.0.0.1:${MYSQL_PORT:-3306}"]


def test_the_compose_file_names_the_images_that_make_images_builds() -> None:
    assert set(re.findall(r"image: (\S+)", COMPOSE_FILE)) == {MYSQL_IMAGE, SIDECAR_IMAGE}
