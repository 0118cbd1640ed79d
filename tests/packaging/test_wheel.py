"""The wheel: what is in it, where it can be built, and that its command brings its library to a server.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
import pytest
import release_number
from tests.support import wheel
from tests.support.checkout import ROOT
from tests.support.make_plan import planned
from tests.support.stack import Library, execute

from lambda_sidecar.testing.mysqld import Mysqld

VERSION = release_number.release()


@pytest.fixture
def server(mysql_home: Path, tmp_path: Path) -> Iterator[Mysqld]:
    """A mysqld that knows nothing of lambda-udf, and no sidecar."""
    environment = {"LAMBDA_UDF_SOCKET": str(tmp_path / "none.sock"), "LAMBDA_UDF_CONNECT_TIMEOUT_MS": "1"}
    with Mysqld(mysql_home, tmp_path / "mysql", option_file="[mysqld]\n", environment=environment) as mysqld:
        yield mysqld


def test_the_wheel_is_for_every_python_3_and_for_the_glibc_that_auditwheel_finds_it_to_need() -> None:
    auditwheel = Path(sys.executable).with_name("auditwheel")
    said = " ".join(wheel.run([auditwheel, "show", wheel.wheel()], cwd=ROOT).stdout.split())
    found = re.search(r'constrains the platform tag to "(\w+)"', said)
    assert found is not None, said
    assert wheel.wheel().name == f"lambda_udf-{VERSION}-py3-none-{found[1]}.whl"
    machine = sysconfig.get_platform().removeprefix("linux-")
    assert found[1] == f"manylinux_2_34_{machine}"


def test_the_wheel_holds_the_sidecar_the_contract_the_sql_and_the_hardened_library_and_no_tests() -> None:
    with zipfile.ZipFile(wheel.wheel()) as archive:
        names = set(archive.namelist())
        library = archive.read("lambda_sidecar/lambda_udf.so")
        scripts = {
            name: archive.read(f"lambda_sidecar/sql/{name}") for name in ("install.sql", "uninstall.sql")
        }
    assert library == Library.PLAIN.path.read_bytes()
    assert scripts == {name: (ROOT / "udf/sql" / name).read_bytes() for name in scripts}
    modules = {
        str(path.relative_to(ROOT / "sidecar")) for path in (ROOT / "sidecar/lambda_sidecar").rglob("*.py")
    }
    assert modules <= names
    assert {
        "lambda_sidecar/py.typed",
        "lambda_sidecar/local/rapid_client.cjs",
        "lambda_udf/v1/invoker_pb2.py",
        "lambda_udf/v1/invoker_pb2_grpc.py",
    } <= names
    folders = {name.split("/")[0] for name in names}
    distribution = f"lambda_udf-{VERSION}"
    assert folders == {"lambda_sidecar", "lambda_udf", f"{distribution}.data", f"{distribution}.dist-info"}


def test_an_environment_with_the_wheel_has_unit_account_configuration_and_rules_as_in_the_checkout() -> None:
    shared = wheel.environment().parent / "share/lambda-udf"
    shipped = {path.name: path for path in (ROOT / "packaging/systemd").iterdir()}
    assert {"lambda-sidecar.service", "lambda-sidecar.sysusers", "sidecar.toml"} <= set(shipped)
    others = ("apparmor/lambda-udf", "grafana/lambda-udf.json", "prometheus/lambda-sidecar.rules.yml")
    assert {path.name for path in shared.iterdir()} == {*shipped, *(name.split("/")[0] for name in others)}
    for name, path in {**shipped, **{name: ROOT / "packaging" / name for name in others}}.items():
        assert (shared / name).read_bytes() == path.read_bytes(), name


def test_make_wheel_makes_one_with_the_library_and_one_for_every_system_and_names_no_test_tool() -> None:
    commands = planned("wheel")
    assert re.findall(r"--config-settings library=(\S+)", commands) == [
        str(ROOT / "build/lambda_udf.so"),
        "none",
    ]
    assert re.findall(r"install-packages\.sh ?(\w*)", commands) == ["python", ""]
    assert re.findall(r"-e '(.+)'", commands) == [".[build]"]


def test_make_wheel_names_the_architectures_that_there_are() -> None:
    done = subprocess.run(
        ["make", "-n", "wheel", "ARCH=x86_64"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "ARCH is 'x86_64', and amd64 or arm64 is expected" in done.stderr


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_wheels_platform_is_that_of_its_library(machine: str, tmp_path: Path) -> None:
    number = {"x86_64": 62, "aarch64": 183}[machine]
    content = b"\x7fELF".ljust(18, b"\0") + number.to_bytes(2, "little")
    (tmp_path / "library").write_bytes(content + b"\0GLIBC_2.17\0GLIBC_2.4\0")
    script = f"import lambda_udf_build as b; print(b._platform(b.Path({str(tmp_path / 'library')!r})))"
    assert wheel.backend(script).stdout == f"manylinux_2_17_{machine}\n"


def test_a_library_that_is_none_for_linux_makes_no_wheel(tmp_path: Path) -> None:
    (tmp_path / "library").write_bytes(b"\xcf\xfa\xed\xfe".ljust(64, b"\0"))
    script = f"import lambda_udf_build as b; print(b._platform(b.Path({str(tmp_path / 'library')!r})))"
    assert "is no library for glibc" in wheel.backend(script).stdout


def test_the_command_of_the_wheel_says_its_version_and_its_commands(tmp_path: Path) -> None:
    command = wheel.environment() / "lambda-sidecar"
    done = wheel.run([command, "--version"], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"lambda-sidecar {VERSION}\n")
    done = wheel.run([command, "--help"], cwd=tmp_path)
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("serve", "check", "install", "uninstall"))


def test_the_command_of_the_wheel_installs_its_own_library_on_a_server_and_takes_it_off(
    server: Mysqld, tmp_path: Path
) -> None:
    command = wheel.environment() / "lambda-sidecar"
    place = server.plugin_dir / "lambda_udf.so"
    done = wheel.run([command, "install", "--socket", server.socket, "--without-sidecar"], cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert place.read_bytes() == Library.PLAIN.path.read_bytes()
    with contextlib.closing(server.connect()) as connection:
        with pytest.raises(mysql.connector.Error, match="sidecar unavailable"):
            execute(connection, "SELECT lambda_sync('f', '{}')")
        assert execute(
            connection, "SELECT component_urn FROM mysql.component WHERE component_urn LIKE '%lambda%'"
        )
    done = wheel.run([command, "uninstall", "--socket", server.socket], cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert not place.exists()


def test_the_sdist_says_in_one_sentence_that_it_cannot_be_built(tmp_path: Path) -> None:
    archive = wheel.sdist(tmp_path)
    with tarfile.open(archive) as files:
        assert not [name for name in files.getnames() if name.endswith(".so")]
    pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
    done = wheel.run([*pip, "-w", tmp_path, archive], cwd=tmp_path)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "error: lambda-udf" in line]
    assert "its library is not there: install a wheel of it, or make one" in line
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("hook", ["build_wheel", "prepare_metadata_for_build_wheel"])
def test_another_platform_is_named_in_one_sentence(hook: str, tmp_path: Path) -> None:
    done = wheel.backend(
        f"import lambda_udf_build; sys.platform = 'darwin'; lambda_udf_build.{hook}({str(tmp_path)!r})"
    )
    assert done.returncode == 1
    assert done.stdout.startswith(
        "error: lambda-udf's library is for Linux, this is darwin: install the wheel without"
    )
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_another_platform_makes_the_wheel_without_the_library(tmp_path: Path) -> None:
    setting = {"library": "none"}
    script = f"import lambda_udf_build as b; sys.platform = 'darwin'; b.build_wheel({str(tmp_path)!r}, {setting!r})"
    done = wheel.backend(script)
    assert done.returncode == 0, done.stdout
    assert [path.name for path in tmp_path.iterdir()] == [f"lambda_udf-{VERSION}-py3-none-any.whl"]


def test_the_kit_says_which_extra_brings_what_its_containers_need(tmp_path: Path) -> None:
    script = "from lambda_sidecar.testing import MySqlLambda, MySqlLambdaContainer"
    done = wheel.run([wheel.environment() / "python", "-c", script], cwd=tmp_path)
    assert done.returncode == 1
    assert "MySqlLambdaContainer needs testcontainers: pip install 'lambda-udf[testing]'" in done.stdout


def test_the_kit_says_which_extra_brings_what_its_functions_need(tmp_path: Path) -> None:
    script = "from lambda_sidecar.testing import MySqlLambda; MySqlLambda().function('f', str)"
    done = wheel.run([wheel.environment() / "python", "-c", script], cwd=tmp_path)
    assert done.returncode == 1
    assert "functions of a test need awslambdaric: pip install 'lambda-udf[testing]'" in done.stdout


def test_library_none_makes_a_wheel_of_the_sidecar_alone(tmp_path: Path) -> None:
    script = (
        f"import lambda_udf_build; lambda_udf_build.build_wheel({str(tmp_path)!r}, {{'library': 'none'}})"
    )
    assert wheel.backend(script).returncode == 0
    with zipfile.ZipFile(tmp_path / f"lambda_udf-{VERSION}-py3-none-any.whl") as archive:
        names = set(archive.namelist())
    assert {
        "lambda_sidecar/cli.py",
        "lambda_sidecar/sql/install.sql",
        "lambda_udf/v1/invoker_pb2.py",
    } <= names
    assert not [name for name in names if name.endswith(".so")]


def test_a_wheel_carries_the_scripts_and_finds_them(tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel.wheel()) as archive:
        archive.extractall(tmp_path / "installed")  # noqa: S202  of our own making
    program = "from lambda_sidecar.install import sql_script as s; print(s.read('install.sql'), end='')"
    # -P and PYTHONPATH: the wheel's package, not the checkout's.
    read = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={"PYTHONPATH": str(tmp_path / "installed")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert read.stdout == (ROOT / "udf/sql/install.sql").read_text()
