"""The options by which MySQL's own clients reach a server, from option files and the command line.

Decides what each option means, and refuses one that cannot mean here what it means to mysql."""

from __future__ import annotations

import argparse
import enum
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lambda_sidecar.install import option_file
from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.option_file import Setting
from lambda_sidecar.install.option_names import FLAGS, TEXTS, is_off, known

COMMAND_LINE = "the command line"
# As the mysql client, and a group of our own.
GROUPS = ("client", "mysql", "lambda-sidecar")
# Debian's, Oracle's packages', and MySQL's own default.
_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock")  # noqa: S108
_PORT = 3306
_TLS_VERSIONS = ("TLSv1.2", "TLSv1.3")
# Connector/Python's own; mysql_clear_password comes in only where enable-cleartext-plugin is given.
PLUGINS = frozenset({"caching_sha2_password", "mysql_native_password", "sha256_password"})
CLEARTEXT_PLUGIN = "mysql_clear_password"


class SslMode(enum.IntEnum):
    """--ssl-mode, the stricter the greater."""

    DISABLED = 1
    PREFERRED = 2
    REQUIRED = 3
    VERIFY_CA = 4
    VERIFY_IDENTITY = 5


@dataclass(frozen=True)
class Tls:
    """How TLS with the server must be. Certificates and CRLs are files and folders, as OpenSSL takes them."""

    mode: SslMode = SslMode.PREFERRED
    ca: str | None = None
    capath: str | None = None
    cert: str | None = None
    key: str | None = None
    cipher: str | None = None
    crl: str | None = None
    crlpath: str | None = None
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServerOptions:
    """password is None if the user is to be asked for it; socket is None for TCP to host and port."""

    user: str
    password: str | None
    socket: str | None
    host: str
    port: int
    tls: Tls
    default_auth: str | None
    cleartext: bool
    compress: bool
    connect_timeout: int
    init_command: str | None

    @property
    def where(self) -> str:
        return self.socket or f"{self.host}:{self.port}"


def gather(options: argparse.Namespace) -> ServerOptions:
    """Raises InstallError for an option that is unknown, wrong or not supported, and says where it stands."""
    settings = option_file.read_defaults(
        only=options.defaults_file, extra=options.defaults_extra_file, none=options.no_defaults, names=GROUPS
    )
    return _Options([*settings, *_arguments(options)], ask=options.password).server()


def _arguments(options: argparse.Namespace) -> list[Setting]:
    given = {name: getattr(options, name.replace("-", "_")) for name in (*TEXTS, *FLAGS)}
    return [
        Setting(name, None if value is True else str(value), COMMAND_LINE)
        for name, value in given.items()
        if value is not None and value is not False
    ]


class _Options:
    """The last setting of each option."""

    def __init__(self, settings: Iterable[Setting], *, ask: bool) -> None:
        self.ask = ask
        self.chosen: dict[str, Setting] = {}
        for written in settings:
            if (setting := known(written)) is not None:
                self.chosen[setting.name] = setting

    def server(self) -> ServerOptions:
        host = self.text("host") or os.environ.get("MYSQL_HOST") or None
        socket = self._socket(host)
        self._refuse_unused("port" if socket else "socket")
        default_auth = self.text("default-auth")
        cleartext = self.flag("enable-cleartext-plugin")
        if default_auth and default_auth not in PLUGINS | ({CLEARTEXT_PLUGIN} if cleartext else set()):
            raise self.refusal("default-auth", f"{default_auth} is not supported")
        return ServerOptions(
            user=self.text("user") or "root",
            password=self._password(),
            socket=socket,
            host=host or "localhost",
            port=self.number("port") or int(os.environ.get("MYSQL_TCP_PORT") or _PORT),
            tls=self._tls(),
            default_auth=default_auth,
            cleartext=cleartext,
            compress=self.flag("compress"),
            connect_timeout=self.number("connect-timeout"),
            init_command=self.text("init-command"),
        )

    def text(self, name: str) -> str | None:
        setting = self.chosen.get(name)
        if setting is None:
            return None
        if setting.value is None:
            raise self.refusal(name, "a value is expected")
        return setting.value

    def number(self, name: str) -> int:
        text = self.text(name) or "0"
        if not (text.isascii() and text.isdecimal()):
            raise self.refusal(name, "a number is expected")
        return int(text)

    def flag(self, name: str) -> bool:
        setting = self.chosen.get(name)
        return setting is not None and not is_off(setting.value)

    def refusal(self, name: str, why: str) -> InstallError:
        return InstallError(f"option {name} of {self.chosen[name].source}: {why}")

    def _socket(self, host: str | None) -> str | None:
        """As mysql_real_connect: a local host means the socket, unless the protocol is TCP."""
        protocol = (self.text("protocol") or "").upper()
        if protocol not in ("", "TCP", "SOCKET"):
            raise self.refusal("protocol", "TCP and SOCKET are supported")
        local = host in (None, "localhost")
        if protocol == "SOCKET" and not local:
            raise self.refusal("protocol", f"the host is {host}, and its Unix socket is not here")
        if protocol == "TCP" or not local:
            return None
        return self.text("socket") or os.environ.get("MYSQL_UNIX_PORT") or _default_socket()

    def _refuse_unused(self, name: str) -> None:
        """MySQL's clients ignore a port where they use a Unix socket, and a socket where they use TCP. An
        option file may have both, but an option on the command line is meant. Raises InstallError."""
        setting = self.chosen.get(name)
        if setting is not None and setting.source == COMMAND_LINE:
            instead = "add --host=127.0.0.1 or --protocol=TCP" if name == "port" else "leave the host out"
            raise self.refusal(name, f"it has no effect on this connection; {instead}")

    def _password(self) -> str | None:
        given = self.chosen.get("password1") or self.chosen.get("password")
        if self.ask or (given is not None and given.value is None):
            return None
        if given is not None and given.value is not None:
            return given.value
        return os.environ.get("MYSQL_PWD", "")

    def _tls(self) -> Tls:
        mode = _ssl_mode(self)
        if mode >= SslMode.VERIFY_CA and not (self.text("ssl-ca") or self.text("ssl-capath")):
            name = next(name for name in ("ssl-mode", "ssl-ca", "ssl-capath") if name in self.chosen)
            raise self.refusal(name, f"{mode.name} needs ssl-ca or ssl-capath")
        return Tls(
            mode=mode,
            # As the mysql client (client/include/sslopt-vars.h): REQUIRED and below check no CA.
            ca=self.text("ssl-ca") if mode >= SslMode.VERIFY_CA else None,
            capath=self.text("ssl-capath") if mode >= SslMode.VERIFY_CA else None,
            cert=self.text("ssl-cert"),
            key=self.text("ssl-key"),
            cipher=self.text("ssl-cipher"),
            crl=self.text("ssl-crl"),
            crlpath=self.text("ssl-crlpath"),
            versions=_tls_versions(self),
        )


def _ssl_mode(options: _Options) -> SslMode:
    text = options.text("ssl-mode")
    if text is None:
        # client/include/sslopt-case.h: who names an authority wants it checked.
        names_authority = "ssl-ca" in options.chosen or "ssl-capath" in options.chosen
        return SslMode.VERIFY_CA if names_authority else SslMode.PREFERRED
    # find_type() of MySQL takes any case, and a beginning that fits only one.
    fits = [mode for mode in SslMode if mode.name.startswith(text.upper()) and text]
    exact = [mode for mode in fits if mode.name == text.upper()]
    if len(exact or fits) != 1:
        raise options.refusal("ssl-mode", f"one of {', '.join(mode.name for mode in SslMode)} is expected")
    return (exact or fits)[0]


def _tls_versions(options: _Options) -> tuple[str, ...]:
    text = options.text("tls-version")
    if text is None:
        return ()
    versions = tuple(version.strip() for version in text.split(","))
    for version in versions:
        if version not in _TLS_VERSIONS:
            raise options.refusal("tls-version", f"of {' and '.join(_TLS_VERSIONS)} one or both are expected")
    return versions


def _default_socket() -> str:
    for socket in _SOCKETS:
        if Path(socket).exists():
            return socket
    raise InstallError(f"no MySQL socket at {' or '.join(_SOCKETS)}; name it with --socket, or --host")
