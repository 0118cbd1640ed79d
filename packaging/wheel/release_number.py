"""The release number: the series, which people raise here, and how many commits there are. Printed when run.

And the last commit's time. Knows git and what an sdist carries; nothing of what is built. Every landing adds
commits, so its wheel upgrades the one before, and two clones give a commit the same number."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
from email.parser import HeaderParser
from pathlib import Path

SERIES = "0.1"
ROOT = Path(__file__).parents[2]
# For a build that has no git: a container image's, an archive's.
VARIABLE = "LAMBDA_UDF_RELEASE"


class Unknown(Exception):
    """Nothing here tells the number; one clause says why."""


def release(root: Path = ROOT) -> str:
    """The number; where nothing tells it, SERIES.dev0, which is below every number of the series. Raises
    Unknown for a LAMBDA_UDF_RELEASE that is no release of this series."""
    try:
        return known(root)
    except Unknown:
        if os.environ.get(VARIABLE):
            raise
        return f"{SERIES}.dev0"


def known(root: Path = ROOT) -> str:
    """The number that a distribution may carry. Raises Unknown."""
    if given := os.environ.get(VARIABLE):
        if not re.fullmatch(rf"{re.escape(SERIES)}\.(\d+|dev0)", given):
            raise Unknown(f"{VARIABLE} is {given!r}, and {SERIES}.<number> is expected")
        return given
    if (metadata := root / "PKG-INFO").exists():  # an sdist
        return str(HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))["Version"])
    return f"{SERIES}.{_commits(root)}"


def moment(root: Path = ROOT) -> datetime.datetime:
    """When the commit was made that is built, so that it always becomes the same packages. Another time may
    be given: https://reproducible-builds.org/specs/source-date-epoch/. Without git it is now."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        seconds = int(given or _git(root / ".git", "log", "-1", "--format=%ct"))
    except Unknown:
        seconds = int(datetime.datetime.now(datetime.UTC).timestamp())
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _commits(root: Path) -> int:
    """How many commits HEAD consists of: more with every commit and every merge, on every branch."""
    repository = root / ".git"
    if not repository.exists():
        raise Unknown("this is no git clone")
    if _git(repository, "rev-parse", "--is-shallow-repository") != "false":
        raise Unknown("this clone is shallow: `git fetch --unshallow` brings the commits")
    return int(_git(repository, "rev-list", "--count", "HEAD"))


def _git(repository: Path, *words: str) -> str:
    """With its folder named, git goes into a repository of another account too, and looks for none further
    up."""
    command = ["git", f"--git-dir={repository}", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        raise Unknown("git is not installed") from None
    if done.returncode != 0:
        raise Unknown(f"git says: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{release()}\n")
    except Unknown as unknown:
        sys.exit(f"error: {unknown}")
