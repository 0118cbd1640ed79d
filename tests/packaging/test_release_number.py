"""The release number: it rises with every commit, reaches the wheel and the sdist, and is never made up.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import release_number
from packaging.version import Version
from release_number import SERIES, VARIABLE, Unknown
from tests.support.checkout import ROOT
from tests.support.wheel import sdist

# What a wheel is made of: committed, and generated.
SOURCES = (
    "Makefile",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    ".gitignore",
    "packaging/apparmor",
    "packaging/grafana",
    "packaging/prometheus",
    "packaging/systemd",
    "packaging/wheel",
    "protos",
    "udf/sql",
)
GENERATED = ("build/lambda_udf.so",)
AUTHOR = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")


@pytest.fixture(autouse=True)
def nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def run(command: list[str | Path], cwd: Path, variables: Mapping[str, str] | None = None) -> str:
    """What the command prints on both channels; it must succeed."""
    done = finished(command, cwd, variables)
    assert done.returncode == 0, done.stdout
    return done.stdout


def finished(
    command: list[str | Path], cwd: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "MAKEFLAGS": "", "MAKELEVEL": "", **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


def commit(repository: Path, message: str = "One more") -> None:
    run(["git", "add", "--all"], repository)
    run(["git", *AUTHOR, "commit", "--quiet", "--allow-empty", "--message", message], repository)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The checkout as it is now, built, as a repository of one commit."""
    folder = tmp_path / "repository"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in (*SOURCES, *GENERATED, "sidecar"):
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy(source, target)
    run(["git", "init", "--quiet"], folder)
    commit(folder)
    return folder


@pytest.fixture
def shallow(repository: Path) -> Path:
    commit(repository)
    clone = repository.with_name("shallow")
    run(["git", "clone", "--quiet", "--depth", "1", f"file://{repository}", clone], repository.parent)
    for name in (*GENERATED, "sidecar/lambda_udf"):
        (clone / name).parent.mkdir(exist_ok=True)
        if (repository / name).is_dir():
            shutil.copytree(repository / name, clone / name)
        else:
            shutil.copy(repository / name, clone / name)
    return clone


def make_wheel(repository: Path, folder: Path) -> Path:
    """`make wheel`, with what `make build` has built in this checkout; the wheel, moved to `folder`."""
    environment = [f"VENV={Path(sys.prefix)}", f"PYTHON={sys.executable}"]
    run(["make", "--old-file=build", "wheel", *environment], repository)
    (made,) = (repository / "build/dist").glob("*-manylinux*.whl")
    folder.mkdir(exist_ok=True)
    return made.rename(folder / made.name)


def test_pip_upgrades_the_wheel_of_one_commit_by_that_of_the_next(repository: Path, tmp_path: Path) -> None:
    old = make_wheel(repository, tmp_path / "wheels")
    module = repository / "sidecar/lambda_sidecar/errors.py"
    module.write_text(f"{module.read_text()}\n\nONE_MORE = 'landing'\n")
    commit(repository)
    new = make_wheel(repository, tmp_path / "wheels")
    numbers = [wheel.name.split("-")[1] for wheel in (old, new)]
    assert numbers == [f"{SERIES}.1", f"{SERIES}.2"]
    assert Version(numbers[0]) < Version(numbers[1])

    environment = tmp_path / "environment"
    run([sys.executable, "-m", "venv", environment], tmp_path)
    pip: list[str | Path] = [environment / "bin/pip", "install", "--no-deps", "--no-index"]
    for wheel, number in zip((old, new), numbers, strict=True):
        assert f"Successfully installed lambda-udf-{number}\n" in run([*pip, wheel], tmp_path)
    asked = "from importlib.metadata import version; from lambda_sidecar.errors import ONE_MORE; print(version('lambda-udf'), ONE_MORE)"
    assert run([environment / "bin/python", "-c", asked], tmp_path) == f"{SERIES}.2 landing\n"


def test_a_merge_raises_the_number_over_that_of_both_sides(repository: Path) -> None:
    run(["git", "switch", "--quiet", "--create", "side"], repository)
    for number in range(3):
        commit(repository, f"Side {number}")
    side = release_number.known(repository)
    run(["git", "switch", "--quiet", "-"], repository)
    commit(repository, "Main")
    main = release_number.known(repository)
    run(["git", *AUTHOR, "merge", "--quiet", "--no-edit", "side"], repository)
    merged = release_number.known(repository)
    assert (side, main, merged) == (f"{SERIES}.4", f"{SERIES}.2", f"{SERIES}.6")


def test_the_number_is_the_same_in_a_worktree(repository: Path) -> None:
    worktree = repository.with_name("worktree")
    run(["git", "worktree", "add", "--quiet", worktree], repository)
    assert release_number.known(worktree) == f"{SERIES}.1"


def test_an_sdist_carries_its_number_into_whatever_repository_it_is_unpacked(
    repository: Path, tmp_path: Path
) -> None:
    with tarfile.open(sdist(tmp_path)) as archive:
        archive.extractall(repository, filter="data")
    (unpacked,) = repository.glob("lambda_udf-*")
    printed = run([sys.executable, "packaging/wheel/release_number.py"], unpacked)
    assert unpacked.name == f"lambda_udf-{printed.strip()}"
    assert printed.strip() == release_number.release()


@pytest.mark.parametrize("hook", ["build_wheel", "build_sdist"])
def test_a_shallow_clone_does_not_know_its_number_and_makes_no_distribution(
    shallow: Path, hook: str, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    script = f"import sys; sys.path.insert(0, 'packaging/wheel'); import lambda_udf_build; lambda_udf_build.{hook}({str(made)!r})"
    done = finished([sys.executable, "-c", script], shallow)
    assert done.stdout == (
        "error: lambda-udf's release number is the number of its commits, and this clone is shallow: "
        f"`git fetch --unshallow` brings the commits; {VARIABLE}={SERIES}.<number> gives one\n"
    )
    assert (done.returncode, list(made.iterdir())) == (1, [])
    run([sys.executable, "-c", script], shallow, {VARIABLE: f"{SERIES}.77"})
    (distribution,) = made.iterdir()
    assert distribution.name.startswith(f"lambda_udf-{SERIES}.77")


def test_an_editable_installation_needs_no_number(shallow: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    pip: list[str | Path] = [
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        made,
        "--editable",
        ".",
    ]
    run([sys.executable, "-m", *pip], shallow)
    assert (made / f"lambda_udf-{SERIES}.dev0.dist-info").is_dir()
    assert Version(f"{SERIES}.dev0") < Version(f"{SERIES}.0")


def test_a_tree_without_git_and_a_number_of_another_series_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unknown, match="this is no git clone"):
        release_number.known(tmp_path)
    assert release_number.release(tmp_path) == f"{SERIES}.dev0"
    monkeypatch.setenv(VARIABLE, "7.1")
    with pytest.raises(Unknown, match=re.escape(f"{VARIABLE} is '7.1', and {SERIES}.<number> is expected")):
        release_number.release(tmp_path)


def test_the_images_are_called_by_the_series_wherever_they_are_named() -> None:
    files = [
        ROOT / "compose.yaml",
        ROOT / "Dockerfile.sidecar",
        *(ROOT / "docs").glob("*.md"),
        ROOT / "README.md",
    ]
    named = {tag for file in files for tag in re.findall(r"lambda-udf/sidecar:([\w.-]*\w)", file.read_text())}
    assert named == {SERIES}


def test_the_number_stands_nowhere_else() -> None:
    """The next commit would make it a lie."""
    written = re.compile(rf"(?<![\w.]){re.escape(SERIES)}\.\d+\b(?!\.)")
    folders = [ROOT / name for name in ("sidecar/lambda_sidecar", "udf", "packaging", "docs")]
    files = [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in (".py", ".c", ".h", ".sh", ".md", ".toml")
    ]
    files += [ROOT / name for name in ("pyproject.toml", "Makefile", "README.md", "compose.yaml")]
    assert len(files) > 100
    assert [f"{file}: {found[0]}" for file in files if (found := written.search(file.read_text()))] == []
