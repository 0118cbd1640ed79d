"""How install, uninstall and migrate-check reach a server: as the mysql client does, option for option.

Each test's name is the sentence that it proves; the mysql client itself is the measure."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.http_peer import certificate
from tests.support.installation import run_plain
from tests.support.mysql_impostor import CLEAR_TEXT, FULL_AUTHENTICATION, impostor

from lambda_sidecar.install import option_file, options
from lambda_sidecar.install.connection import connect, execute
from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.ports import free_port

PASSWORD = "Sesame-42"
MODES = ("", "DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY")
CIPHER = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"


class Machine:
    """A real server with its certificates, an authority that has nothing to do with it, the mysql client."""

    def __init__(self, mysqld: Mysqld, directory: Path, port: int) -> None:
        self.mysqld = mysqld
        self.directory = directory
        self.port = port
        self.named = directory / "named"
        self.other = directory / "other"
        for folder in (self.named, self.other):
            folder.mkdir()
            certificate(folder)
        self.file = directory / "client.cnf"

    def serve(self, kind: str) -> Path | None:
        """Changes the server's certificate; the authority that signed the new one."""
        data = self.mysqld.datadir
        ca, cert, key = data / "ca.pem", data / "server-cert.pem", data / "server-key.pem"
        if kind == "named":
            ca = cert = self.named / "authority.pem"
            key = self.named / "key.pem"
        reload, versions = "ALTER INSTANCE RELOAD TLS", "TLSv1.2,TLSv1.3"
        if kind == "none":
            reload, versions = reload + " NO ROLLBACK ON ERROR", ""
        with contextlib.closing(self.mysqld.connect()) as connection:
            for name, value in (
                ("ssl_ca", ca),
                ("ssl_cert", cert),
                ("ssl_key", key),
                ("tls_version", versions),
            ):
                execute(connection, f"SET GLOBAL {name} = '{value}'")
            execute(connection, reload)
        return ca

    def write(self, *lines: str, group: str = "client") -> Path:
        text = [f"[{group}]", "user = boss", f'password="{PASSWORD}"  # the administrator\'s', *lines]
        self.file.write_text("\n".join(text) + "\n")
        return self.file

    def mysql(self, *arguments: str) -> str | None:
        """The TLS cipher of the mysql client's session, '' for none; None: it did not connect."""
        done = subprocess.run(
            [
                self.mysqld.home / "bin/mysql",
                f"--defaults-file={self.file}",
                "-NB",
                "-e",
                CIPHER,
                *arguments,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.split("\t")[-1].strip() if done.returncode == 0 else None

    def ours(self, *arguments: str) -> str | None:
        """The same of install's session."""
        parser = argparse.ArgumentParser()
        options.add_install(parser)
        try:
            connection = connect(parser.parse_args([f"--defaults-file={self.file}", *arguments]))
        except InstallError as refused:
            assert PASSWORD not in str(refused)
            return None
        with contextlib.closing(connection):
            ((_, cipher),) = execute(connection, CIPHER)
        return str(cipher)


@pytest.fixture(scope="module")
def machine(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    directory = tmp_path_factory.mktemp("connection")
    port = free_port()
    with Mysqld(mysql_home, directory / "mysql", port=port) as mysqld:
        with contextlib.closing(mysqld.connect()) as connection:
            execute(connection, f"CREATE USER boss@'%' IDENTIFIED BY '{PASSWORD}'")
            execute(connection, "GRANT ALL ON *.* TO boss@'%' WITH GRANT OPTION")
        yield Machine(mysqld, directory, port)


def places(machine: Machine) -> dict[str, tuple[str, ...]]:
    return {
        "TCP": ("host=127.0.0.1", f"port={machine.port}"),
        "socket": (f"socket={machine.mysqld.socket}",),
    }


@pytest.mark.parametrize("kind", ["auto", "named", "none"])
def test_every_ssl_mode_accepts_and_refuses_what_the_mysql_client_does(machine: Machine, kind: str) -> None:
    """The server has the certificate that mysqld makes, one for 127.0.0.1, or no TLS at all."""
    authority = machine.serve(kind)
    machine.write(*places(machine)["socket"])
    assert machine.mysql() == ""  # the server knows the password from now on, and asks for no clear text
    outcomes: dict[tuple[str, str, str], tuple[str | None, str | None]] = {}
    authorities = {
        "none": (),
        "right": (f"ssl-ca={authority}",),
        "other": (f"ssl-ca={machine.other}/authority.pem",),
    }
    for (place, where), mode, (ca, trusted) in itertools.product(
        places(machine).items(), MODES, authorities.items()
    ):
        machine.write(*where, *trusted, *([f"ssl-mode={mode}"] if mode else []))
        outcomes[place, mode, ca] = (machine.mysql(), machine.ours())
    different = {case: outcome for case, outcome in outcomes.items() if outcome[0] != outcome[1]}
    assert different == {}
    connected = {case for case, (_, ours) in outcomes.items() if ours is not None}
    verified = {
        case for case in connected if case[1].startswith("VERIFY") or (case[1], case[2]) == ("", "right")
    }
    assert {case[2] for case in verified} == ({"right"} if kind != "none" else set())
    assert (("TCP", "VERIFY_IDENTITY", "right") in connected) == (kind == "named")
    assert (("TCP", "REQUIRED", "none") in connected) == (kind != "none")


def test_other_options_of_tls_are_the_mysql_clients(machine: Machine) -> None:
    authority = machine.serve("auto")
    data = machine.mysqld.datadir
    machine.write(*places(machine)["socket"])
    assert machine.mysql() == ""
    verified = (f"ssl-ca={authority}", "ssl-mode=verify_ca")
    for lines in (
        ("tls-version=TLSv1.2",),
        ("tls_version = 'TLSv1.3'",),
        ("tls-version=TLSv1.1",),
        ("tls-version=TLSv1.2", "ssl-cipher=ECDHE-RSA-AES256-GCM-SHA384"),
        ("ssl-cipher=NOSUCH",),
        (f"ssl-cert={data}/client-cert.pem", f"ssl-key={data}/client-key.pem"),
        (f"ssl-cert={data}/client-cert.pem",),
        ("ssl-crl=/nonexistent",),
        (f"ssl-capath={data}", "ssl-mode=VERIFY_CA"),
        ("ssl-ca=/nonexistent", "ssl-mode=VERIFY_CA"),
        ("ssl-ca=/nonexistent", "ssl-mode=REQUIRED"),
        ("ssl-ca=",),
        (f"ssl-capath={data}",),
        (*verified, "ssl-crl=/nonexistent"),
        (*verified, f"ssl-crl={authority}"),  # no list of this authority: nothing can be verified
        ("ssl-mode=REQ",),
        ("ssl-mode=VERIFY",),
        ("ssl-mode=1",),
        ("ssl-mode",),
        ("default-auth=mysql_clear_password",),
        ("default-auth=sha256_password",),
        ("compress",),
        ("skip-compress", "loose-nonsense=1", "init-command=SET @a = 1", "connect-timeout=5"),
    ):
        machine.write(*places(machine)["TCP"], *lines)
        assert (lines, machine.ours()) == (lines, machine.mysql())


def test_socket_host_port_and_protocol_choose_as_in_the_mysql_client(machine: Machine) -> None:
    machine.serve("auto")
    socket, tcp = f"socket={machine.mysqld.socket}", f"port={machine.port}"
    for lines in (
        (socket,),
        (socket, tcp),
        (socket, tcp, "host=localhost"),
        (socket, tcp, "host=127.0.0.1"),
        (socket, tcp, "host=127.0.0.1", "protocol=SOCKET"),
        (socket, tcp, "protocol=tcp"),
        (tcp, "host=localhost", "protocol=TCP"),
        (socket, "protocol=memory"),
        (tcp,),
    ):
        machine.write(*lines)
        assert (lines, machine.ours()) == (lines, machine.mysql())


def test_an_authority_that_only_the_machine_trusts_verifies_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = machine.serve("named")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    machine.write(
        *places(machine)["TCP"], "ssl-mode=VERIFY_IDENTITY", f"ssl-ca={machine.other}/authority.pem"
    )
    assert (machine.mysql(), machine.ours()) == (None, None)


def test_over_plain_tcp_a_password_that_the_server_has_not_cached_is_not_sent(machine: Machine) -> None:
    machine.serve("auto")
    machine.write(*places(machine)["TCP"], "ssl-mode=DISABLED")
    for attempt in (machine.mysql, machine.ours):
        with contextlib.closing(machine.mysqld.connect()) as connection:
            execute(connection, "FLUSH PRIVILEGES")  # empties the cache
        assert attempt() is None


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_the_command_names_what_the_certificate_lacks(machine: Machine, command: str) -> None:
    machine.serve("auto")
    where = places(machine)["TCP"]
    file = machine.write(*where, f"ssl-ca={machine.other}/authority.pem", "ssl-mode=VERIFY_CA")
    refused = run_plain(command, "--dry-run", "--defaults-file", file)
    assert (refused.status, refused.out) == (1, "")
    assert "SSL connection error" in refused.err
    assert "certificate verify failed" in refused.err


# ---- one who is not the server ----


@pytest.mark.parametrize(
    ("lines", "ask", "has_tls", "sent"),
    [
        # What TLS must be is looked at before the account's name is sent.
        (("ssl-mode=VERIFY_CA", "ssl-ca={other}"), FULL_AUTHENTICATION, True, "nothing"),
        (("ssl-mode=VERIFY_CA", "ssl-ca={right}"), FULL_AUTHENTICATION, False, "nothing"),
        (("ssl-mode=VERIFY_IDENTITY", "ssl-ca={other}"), FULL_AUTHENTICATION, True, "nothing"),
        (
            ("ssl-mode=VERIFY_IDENTITY", "ssl-ca={right}", "host=localhost", "protocol=TCP"),
            CLEAR_TEXT,
            True,
            "nothing",
        ),
        (("ssl-mode=REQUIRED",), FULL_AUTHENTICATION, False, "nothing"),
        # The password leaves in TLS only, and in clear text only where that was permitted.
        (("ssl-mode=PREFERRED",), FULL_AUTHENTICATION, False, "account"),
        (("ssl-mode=PREFERRED",), CLEAR_TEXT, False, "account"),
        (("ssl-mode=DISABLED",), FULL_AUTHENTICATION, True, "account"),
        ((), CLEAR_TEXT, True, "account"),
        ((), FULL_AUTHENTICATION, True, "password"),
        (("ssl-mode=VERIFY_IDENTITY", "ssl-ca={right}"), FULL_AUTHENTICATION, True, "password"),
        (("enable-cleartext-plugin", "ssl-mode=REQUIRED"), CLEAR_TEXT, True, "password"),
    ],
)
def test_an_impostor_gets_no_more_than_from_the_mysql_client(
    machine: Machine, lines: tuple[str, ...], ask: bytes, has_tls: bool, sent: str
) -> None:
    context, right = certificate(machine.directory)
    known = {"right": right, "other": machine.other / "authority.pem"}
    for attempt in (machine.mysql, machine.ours):
        with impostor(ask, context if has_tls else None) as made:
            machine.write("host=127.0.0.1", f"port={made.port}", *(line.format(**known) for line in lines))
            assert attempt() is None
        got = bytes(made.received)
        assert (b"boss" in got) == (sent != "nothing"), got
        assert (PASSWORD.encode() in got) == (sent == "password"), got


# ---- options that cannot be had ----


@pytest.mark.parametrize(
    "line",
    [
        "ssl-verify-server-cert",
        "ssl=0",
        "tls-ciphersuites=TLS_AES_256_GCM_SHA384",
        "tls-sni-servername=db",
        "ssl-session-data=/tmp/session",
        "ssl-fips-mode=STRICT",
        "bind-address=127.0.0.1",
        "dns-srv-name=db",
        "password2=x",
        "compression-algorithms=zstd",
        "default-auth=authentication_ldap_sasl_client",
        "nonsense=1",
    ],
)
def test_an_option_that_cannot_be_had_is_refused_by_name_and_file(machine: Machine, line: str) -> None:
    machine.serve("auto")
    for group in ("client", "mysql", "lambda-sidecar"):
        file = machine.write(*places(machine)["TCP"], line, group=group)
        refused = run_plain("install", "--dry-run", "--defaults-file", file)
        assert (refused.status, refused.out) == (1, "")
        assert f"option {line.partition('=')[0]} of {file}" in refused.err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--port=3307"], "option port of the command line: it has no effect on this connection"),
        (["--socket=/x", "--host=db"], "option socket of the command line: it has no effect"),
        (["--host=db", "--protocol=SOCKET"], "the host is db, and its Unix socket is not here"),
        (["--ssl-mode=VERIFY_CA"], "VERIFY_CA needs ssl-ca or ssl-capath"),
    ],
)
def test_arguments_that_would_be_left_aside_are_refused(
    arguments: list[str], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYSQL_UNIX_PORT", "/nonexistent.sock")
    refused = run_plain("install", "--no-defaults", "--dry-run", "--no-copy", *arguments)
    assert refused.status == 1
    assert why in refused.err


# ---- the files ----


def test_the_users_own_file_is_read_without_being_named(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.serve("auto")
    monkeypatch.setenv("HOME", str(tmp_path))
    machine.write(*places(machine)["TCP"], "ssl-mode=VERIFY_CA", f"ssl-ca={machine.other}/authority.pem")
    (tmp_path / ".my.cnf").write_text(machine.file.read_text())
    refused = run_plain("install", "--dry-run", "--no-copy")
    assert "certificate verify failed" in refused.err
    extra = tmp_path / "extra.cnf"
    extra.write_text("[client]\nssl-mode=REQUIRED\n")
    assert (
        "certificate verify failed" in run_plain("install", "--defaults-extra-file", extra, "--no-copy").err
    )
    assert run_plain("install", "--dry-run", "--no-copy", "--ssl-mode=REQUIRED").status == 0


def test_option_files_read_as_the_mysql_client_reads_them(machine: Machine, tmp_path: Path) -> None:
    """`mysql --print-defaults` says what it has read."""
    included = tmp_path / "included"
    included.mkdir()
    (included / "b.cnf").write_text("[mysql]\nssl-ca=b\n")
    (included / "a.cnf").write_text("[client]\nssl-ca=a\n[mysqld]\nssl-ca=server\n")
    (included / "c.txt").write_text("[client]\nssl-ca=c\n")
    file = tmp_path / "main.cnf"
    file.write_text(
        "# comment\n; another\n\n[client]\nuser = 'it''s' # why\nssl_cert=a#b\nssl-key='a#b'\n"
        '  ssl-crl = "a\\\\b\\tc\\sd\\x" \nssl-cipher=\ncompress\n[ mysql]\nhost=other\n[mysql ] rest\nhost=h:1=2\n'
        f"!includedir {included}\n!include {included}/c.txt\nsocket=/after\n[other]\nport=1\n[client]\nport=2\n"
    )
    program = machine.mysqld.home / "bin/mysql"
    printed = subprocess.run(
        [program, f"--defaults-file={file}", "--print-defaults"], check=True, capture_output=True, text=True
    )
    ours = [
        f"--{setting.name}" + ("" if setting.value is None else f"={setting.value}")
        for setting in option_file_settings(file)
    ]
    theirs = printed.stdout.partition("arguments:")[2].partition("--character-sets-dir")[0]
    assert " ".join(ours) == theirs.replace("ssl_cert", "ssl-cert").strip()


def option_file_settings(file: Path) -> list[option_file.Setting]:
    return list(option_file.read(file, frozenset({"client", "mysql"})))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("user=x\n", "line 1: there is no [group] above this option"),
        ("[client\n", "line 1: the group's name has no end"),
        ("!include /nonexistent.cnf\n", "/nonexistent.cnf: No such file or directory"),
        ("!nonsense x\n", "line 1: !nonsense is no directive"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "wrong.cnf"
    file.write_text(text)
    refused = run_plain("install", "--no-copy", "--defaults-file", file)
    assert refused.status == 1
    assert why in refused.err


def test_a_file_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "open.cnf"
    file.write_text("[client]\n")
    file.chmod(0o666)
    assert "may be written by everybody" in run_plain("install", "--no-copy", "--defaults-file", file).err
