"""The .deb and the .rpm of both architectures: what is in them, and what Debian's and Enterprise Linux's checkers say.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import release_number
import vendored
from packaging.utils import canonicalize_name
from tests.support.checkout import ROOT
from tests.support.packages import MACHINES, NATIVE, package, packages, unpacked, why_no_other

from lambda_sidecar.cli import _parser

REASON = why_no_other()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)

ARCHITECTURES = ("amd64", "arm64")
MODULES = "usr/lib/lambda-udf/python"
RULES = "packaging/prometheus/lambda-sidecar.rules.yml"
needs_package_tests = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("lintian", "rpmlint", "mandoc", "zsh")),
    reason="needs lintian, rpmlint, mandoc and zsh (packaging/debian/install-packages.sh package-tests)",
)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of both .debs."""
    folder = tmp_path_factory.mktemp("packages")
    return {name: unpacked(name, folder / name) for name in ARCHITECTURES}


@pytest.fixture(scope="module")
def tree(trees: dict[str, Path]) -> Path:
    """Those of this machine's architecture."""
    return trees[NATIVE]


def output(*command: str | Path) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_there_is_a_deb_an_rpm_and_a_wheel_of_each_architecture_and_a_wheel_for_all() -> None:
    number = release_number.release()
    names = sorted(path.name.replace(number, "N") for path in packages().iterdir())
    assert names == sorted(
        [
            "lambda_udf-N-py3-none-any.whl",
            *(f"lambda_udf-N-py3-none-manylinux_2_34_{machine}.whl" for machine in MACHINES.values()),
            *(f"lambda-udf_N-1_{name}.deb" for name in ARCHITECTURES),
            *(f"lambda-udf-N-1.{machine}.rpm" for machine in MACHINES.values()),
        ]
    )


# ---- the checkers ----


@needs_package_tests
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lintian_finds_no_error(architecture: str) -> None:
    said = output("lintian", "--fail-on=error", "--tag-display-limit=0", package("deb", architecture))
    assert "E: " not in said


@needs_package_tests
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rpmlint_finds_no_error(architecture: str) -> None:
    rules = ROOT / "packaging/packages/rpmlint.toml"
    said = output("rpmlint", "--config", rules, package("rpm", architecture))
    assert " 0 errors" in said


@needs_package_tests
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_both_formats_bring_the_same_files(trees: dict[str, Path], architecture: str) -> None:
    tree = trees[architecture]
    deb = {f"/{path.relative_to(tree)}" for path in tree.rglob("*") if path.is_file()}
    rpm = set(output("rpm", "-qlp", "--nosignature", package("rpm", architecture)).splitlines())
    assert deb - rpm == {
        "/etc/apparmor.d/abstractions/lambda-udf",
        "/usr/share/doc/lambda-udf/changelog.Debian.gz",
        "/usr/share/lintian/overrides/lambda-udf",
        "/usr/share/zsh/vendor-completions/_lambda-sidecar",
    }
    folders = {f"/{path.relative_to(tree)}" for path in tree.rglob("*") if path.is_dir()}
    assert rpm - deb - folders == {
        "/usr/share/licenses/lambda-udf/LICENSE",
        "/usr/share/zsh/site-functions/_lambda-sidecar",
    }


@pytest.mark.parametrize(
    "script", sorted((ROOT / "packaging/packages").glob("*.sh")), ids=lambda path: path.name
)
def test_a_shell_can_read_the_packages_scripts(script: Path) -> None:
    assert output("sh", "-n", script) == ""


# ---- what it is made of ----

# As metadata name licences, and as an .rpm does (https://spdx.org/licenses/).
LICENCES = {
    r"MIT": "MIT",
    r"Apache": "Apache-2.0",
    r"BSD-2": "BSD-2-Clause",
    r"BSD-3|3-Clause|BSD License": "BSD-3-Clause",
    r"PSF": "PSF-2.0",
    r"GPLv2 .*FOSS": "GPL-2.0-only WITH Universal-FOSS-exception-1.0",
}


def test_every_distribution_has_its_licence_with_it(tree: Path) -> None:
    folders = list((tree / MODULES).glob("*.dist-info"))
    assert len(folders) >= len(vendored.pins())
    for folder in folders:
        named = [path for path in folder.rglob("*") if re.match("LICEN[CS]E|COPYING", path.name)]
        assert any(path.is_file() and path.stat().st_size > 500 for path in named), folder.name


@needs_package_tests
def test_copyright_and_rpm_name_all_licences(tree: Path) -> None:
    text = (tree / "usr/share/doc/lambda-udf/copyright").read_text()
    listed = dict(re.findall(r"^(\S+) \S+: (.+)$", text, re.MULTILINE))
    assert set(vendored.pins()) <= {canonicalize_name(name) for name in listed}
    found = set()
    for name, licence in listed.items():
        known = {spdx for pattern, spdx in LICENCES.items() if re.search(pattern, licence)}
        assert known, f"{name}: {licence}"
        found |= known
    told = output("rpm", "-qp", "--nosignature", "--qf", "%{LICENSE}", package("rpm", NATIVE))
    assert set(told.split(" AND ")) == found


@needs_package_tests
def test_a_commit_always_makes_the_same_packages_of_its_own_time(tree: Path) -> None:
    moment = release_number.moment()
    asked = "%{BUILDHOST} %{BUILDTIME} [%{FILEMTIMES} ]"
    host, *times = output("rpm", "-qp", "--nosignature", "--qf", asked, package("rpm", NATIVE)).split()
    assert (host, {int(time) for time in times}) == ("localhost", {int(moment.timestamp())})
    assert {path.stat().st_mtime for path in tree.rglob("*")} == {moment.timestamp()}
    page = gzip.decompress((tree / "usr/share/man/man1/lambda-sidecar.1.gz").read_bytes()).decode()
    assert f'"{moment.date()}"' in page.splitlines()[0].replace("\\", "")
    assert max(map(len, re.findall(r"(?m)^usage: .*$", page))) < 120, "as wide as some terminal"


def test_all_that_look_for_a_python_look_for_the_same_ones() -> None:
    minors = [python.removeprefix("3.") for python in vendored.PYTHONS]
    folder = ROOT / "packaging/packages"
    for name in ("lambda-sidecar", "machine.sh"):
        looked_for = re.findall(r"^ *for minor in (.+); do$", (folder / name).read_text(), re.MULTILINE)
        assert looked_for == [" ".join(reversed(minors))], name
    rules = (folder / "nfpm.yaml").read_text()
    assert f"- python3 (>= 3.{minors[0]})\n" in rules
    assert f"- python3 (<< 3.{int(minors[-1]) + 1})\n" in rules
    assert sorted(re.findall(r"/usr/bin/python3\.(\d+)", rules)) == minors


# ---- what runs ----


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_python_finds_every_extension_module_for_itself_and_its_machine(
    trees: dict[str, Path], architecture: str
) -> None:
    modules = trees[architecture] / MODULES
    triplet = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[architecture]
    found: dict[str, set[str]] = {python: set() for python in vendored.PYTHONS}
    for path in modules.rglob("*.so"):
        named = re.fullmatch(r"(.+)\.cpython-3(\d+)-(.+)\.so", str(path.relative_to(modules)))
        if named is not None:
            assert named[3] == triplet, path
            found[f"3.{named[2]}"].add(named[1])
        machine = int.from_bytes(path.read_bytes()[18:20], "little")
        assert machine == {"amd64": 62, "arm64": 183}[architecture], path
    assert found["3.11"] >= {"grpc/_cython/cygrpc", "uvloop/loop", "msgspec/_core"}
    assert all(names == found["3.11"] for names in found.values()), found


def test_the_files_of_two_wheels_never_differ(tmp_path: Path) -> None:
    for number in (1, 2):
        with zipfile.ZipFile(tmp_path / f"p-{number}-py3-none-any.whl", "w") as archive:
            archive.writestr("package/module.py", f"NUMBER = {number}\n")
            archive.writestr("p-1.dist-info/METADATA", f"Version: {number}\n")
    wheels = sorted(tmp_path.glob("*.whl"))
    with pytest.raises(vendored.Conflict, match=r"module\.py is another one in p-2-py3-none-any\.whl"):
        vendored.unpack(wheels, tmp_path / "package")


def launched(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The package's command, with this Python in place of the system's."""
    modules = tree / MODULES
    command = [sys.executable, "-SPs", "-m", "lambda_sidecar.cli", *arguments]
    return subprocess.run(
        command,
        env={"PYTHONPATH": str(modules), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_has_all_that_it_imports(tree: Path) -> None:
    assert launched(tree, "--version").stdout == f"lambda-sidecar {release_number.release()}\n"
    program = "import lambda_sidecar.server, lambda_sidecar.check, lambda_sidecar.install.install, lambda_sidecar.outbox.deliverer"
    done = subprocess.run(
        [sys.executable, "-SPs", "-c", f"{program}, grpc, uvloop; print(grpc.__file__)"],
        env={"PYTHONPATH": str(tree / MODULES), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{tree / MODULES}/grpc/__init__.py\n"), done.stderr


# ---- what an operator finds ----


def test_the_example_configuration_and_the_units_are_those_of_the_checkout(tree: Path) -> None:
    shipped = {
        "etc/lambda-sidecar/sidecar.toml": "packaging/systemd/sidecar.toml",
        "etc/lambda-sidecar/environment": "packaging/packages/environment",
        "etc/apparmor.d/abstractions/lambda-udf": "packaging/apparmor/lambda-udf",
        "usr/lib/sysusers.d/lambda-sidecar.conf": "packaging/systemd/lambda-sidecar.sysusers",
        "usr/share/doc/lambda-udf/packaging/grafana/lambda-udf.json": "packaging/grafana/lambda-udf.json",
        "usr/share/doc/lambda-udf/packaging/prometheus/lambda-sidecar.rules.yml": RULES,
    }
    for there, here in shipped.items():
        assert (tree / there).read_bytes() == (ROOT / here).read_bytes(), there
    control = output("dpkg-deb", "--info", package("deb", NATIVE), "conffiles").split()
    assert set(control) == {f"/{name}" for name in shipped if name.startswith("etc/")}
    unit = (tree / "usr/lib/systemd/system/lambda-sidecar.service").read_text()
    assert "\nExecStart=/usr/bin/lambda-sidecar serve --config /etc/lambda-sidecar/sidecar.toml\n" in unit
    assert "/opt/" not in unit


def test_the_environment_changes_nothing_as_it_stands(tree: Path) -> None:
    path = tree / "etc/lambda-sidecar/environment"
    assert [line for line in path.read_text().splitlines() if line and not line.startswith("#")] == []
    assert path.stat().st_mode & 0o777 == 0o600


def commands() -> list[str]:
    """Of lambda-sidecar, as its parser has them."""
    (subparsers,) = (
        action for action in _parser()._actions if action.dest == "==SUPPRESS==" and action.choices
    )
    return list(subparsers.choices or ())


@needs_package_tests
def test_the_manual_page_renders_and_has_every_command(tree: Path, tmp_path: Path) -> None:
    page = tmp_path / "lambda-sidecar.1"
    page.write_bytes(gzip.decompress((tree / "usr/share/man/man1/lambda-sidecar.1.gz").read_bytes()))
    output("mandoc", "-T", "lint", "-W", "error", page)
    text = re.sub(r".\x08", "", output("mandoc", "-T", "utf8", page))
    for command in commands():
        assert f"lambda-sidecar {command}" in text
    assert re.findall(r"^[A-Z]+[A-Z ]+$", text, re.MULTILINE) == [
        *("NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "FILES", "EXIT STATUS", "SEE ALSO"),
    ]
    assert "--socket-of-sidecar" in text
    assert "/etc/lambda-sidecar/sidecar.toml" in text


@needs_package_tests
def test_the_shells_complete_commands_and_options(tree: Path) -> None:
    bash = tree / "usr/share/bash-completion/completions/lambda-sidecar"
    asked = (
        f"source {bash}; COMP_WORDS=(lambda-sidecar %s); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        "_shtab_lambda_sidecar; printf '%%s\\n' ${COMPREPLY[@]}"
    )
    assert set(output("bash", "-c", asked % "''").split()) >= set(commands())
    assert output("bash", "-c", asked % "install --socket-o").split() == ["--socket-of-sidecar"]
    output("zsh", "-n", tree / "usr/share/zsh/vendor-completions/_lambda-sidecar")
