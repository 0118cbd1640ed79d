"""One session of Connector/Python whose TLS and authentication are the mysql client's.

Connector/Python by itself verifies nothing unless it has to, trusts the machine's CAs beside the given one,
goes on without TLS where TLS was wanted, does none over a Unix socket, and sends the password itself over
plain TCP when the server asks for it. So the sockets here are ours: they do TLS with a context of our own,
and let nothing pass that the options forbid. Must not know where options come from."""

from __future__ import annotations

import ssl
from typing import Any

from mysql.connector.authentication import MySQLAuthenticator
from mysql.connector.connection import MySQLConnection
from mysql.connector.constants import ClientFlag
from mysql.connector.errors import InterfaceError
from mysql.connector.network import MySQLSocket, MySQLTCPSocket, MySQLUnixSocket

from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.server_options import CLEARTEXT_PLUGIN, PLUGINS, ServerOptions, SslMode, Tls

# errmsg.h of MySQL
_CR_SSL_CONNECTION_ERROR = 2026
_CR_AUTH_PLUGIN_CANNOT_LOAD = 2059
_CR_AUTH_PLUGIN_ERR = 2061
# Protocol::SSLRequest: flags, packet size, character set and 23 zeros. All that may be sent before TLS.
_SSL_REQUEST_BYTES = 32
_LOCALHOST = "localhost"  # what libmysqlclient takes for a Unix socket's host


class Session(MySQLConnection):
    """Connects at once. Raises mysql.connector.Error; until TLS is as the options want it, neither account
    nor password has been sent."""

    def __init__(self, options: ServerOptions, password: str) -> None:
        super().__init__()
        self._options = options
        self._link = _UnixLink(options, password) if options.socket else _TcpLink(options, password)
        self._authenticator = _Authenticator(_plugins(options))
        self.connect(
            user=options.user,
            password=password,
            host=options.host,
            port=options.port,
            unix_socket=options.socket,
            charset="utf8mb4",
            autocommit=True,
            compress=options.compress,
            connection_timeout=options.connect_timeout or None,
            # Clear text is never offered; the server asks for it.
            auth_plugin=options.default_auth if options.default_auth in PLUGINS else "",
            init_command=options.init_command,
        )

    def _get_connection(self) -> MySQLSocket:
        self._link.set_connection_timeout(self._connection_timeout)
        return self._link

    def _do_handshake(self) -> None:
        """The server's greeting says what it has; here we say what we want."""
        self._ssl_disabled = not self._link.wants_tls
        super()._do_handshake()
        self._refuse_mariadb(str((self._handshake or {}).get("server_version_original", "")))
        if self._link.must_have_tls and not self._client_flags & ClientFlag.SSL:
            raise _tls_error("SSL is required but the server doesn't support it")
        greeting: dict[str, Any] = self._handshake or {}
        if greeting["auth_plugin"] not in _plugins(self._options):
            greeting["auth_plugin"] = "caching_sha2_password"  # the server then names the account's own

    def _refuse_mariadb(self, version: str) -> None:
        """By its greeting, before anything is sent: its accounts log in by plugins that MySQL has not. Raises
        InstallError."""
        if "mariadb" not in version.lower():
            return
        self._link.close_connection()
        # It says 5.5.5- before its own number, for the replicas of old servers.
        own = version.removeprefix("5.5.5-")
        raise InstallError(f"this server is MariaDB ({own}), and lambda-udf is for MySQL 8.0.29 or newer")


def _plugins(options: ServerOptions) -> frozenset[str]:
    return PLUGINS | {CLEARTEXT_PLUGIN} if options.cleartext else PLUGINS


class _Authenticator(MySQLAuthenticator):
    """Uses no other plugins than those that it was given, whatever the server asks for."""

    def __init__(self, plugins: frozenset[str]) -> None:
        super().__init__()
        self._plugins = plugins

    def _switch_auth_strategy(self, new_strategy_name: str, *args: Any, **options: Any) -> None:
        if new_strategy_name not in self._plugins:
            hint = " without enable-cleartext-plugin" if new_strategy_name == CLEARTEXT_PLUGIN else ""
            raise InterfaceError(
                f"Authentication plugin '{new_strategy_name}', which the server asks for, is not used{hint}",
                errno=_CR_AUTH_PLUGIN_CANNOT_LOAD,
            )
        super()._switch_auth_strategy(new_strategy_name, *args, **options)


class _Link(MySQLSocket):
    """The part that both kinds of socket have in common."""

    options: ServerOptions
    secret: bytes  # the password as a plugin sends it in clear
    wants_tls: bool
    must_have_tls: bool
    is_private: bool  # a Unix socket, or TLS once it is there

    def prepare(self, options: ServerOptions, password: str) -> None:
        mode = options.tls.mode
        self.options = options
        self.secret = password.encode() + b"\0"
        self.must_have_tls = mode >= SslMode.REQUIRED
        # libmysqlclient prefers TLS over TCP only.
        self.wants_tls = self.must_have_tls or (mode is SslMode.PREFERRED and options.socket is None)
        self.is_private = options.socket is not None

    def build_ssl_context(self, *_: Any, **__: Any) -> ssl.SSLContext:
        return _context(self.options.tls)

    def switch_to_ssl(self, ssl_context: Any, host: str) -> None:
        name = _LOCALHOST if self.options.socket else host
        if self.sock is None:
            raise _tls_error("there is no connection")
        try:
            self.sock = ssl_context.wrap_socket(self.sock, server_hostname=name)
        except (OSError, ValueError) as error:  # ssl's errors are of both kinds
            raise _tls_error(str(error)) from None
        self.must_have_tls = False
        self.is_private = True

    def send(self, payload: bytes, *args: Any, **options: Any) -> None:
        if self.must_have_tls and len(payload) != _SSL_REQUEST_BYTES:
            raise _tls_error("SSL is required, and there is none yet")
        if not self.is_private and bytes(payload) == self.secret:
            raise InterfaceError(
                "Authentication requires secure connection: without TLS the server asks for the password "
                "itself, and encrypting it by the server's public key is not supported; use TLS or the "
                "Unix socket",
                errno=_CR_AUTH_PLUGIN_ERR,
            )
        super().send(payload, *args, **options)


class _TcpLink(_Link, MySQLTCPSocket):
    def __init__(self, options: ServerOptions, password: str) -> None:
        MySQLTCPSocket.__init__(self, host=options.host, port=options.port)
        self.prepare(options, password)


class _UnixLink(_Link, MySQLUnixSocket):
    def __init__(self, options: ServerOptions, password: str) -> None:
        MySQLUnixSocket.__init__(self, unix_socket=options.socket or "")
        self.prepare(options, password)


def _context(tls: Tls) -> ssl.SSLContext:
    """As libmysqlclient's new_VioSSLConnectorFd: the given CAs and no others, CRLs of the whole chain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.mode is SslMode.VERIFY_IDENTITY
    context.verify_mode = ssl.CERT_REQUIRED if tls.mode >= SslMode.VERIFY_CA else ssl.CERT_NONE
    try:
        if tls.ca or tls.capath:
            context.load_verify_locations(tls.ca, tls.capath)
        if tls.crl or tls.crlpath:
            context.load_verify_locations(tls.crl, tls.crlpath)
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN
        if tls.cert or tls.key:
            context.load_cert_chain(tls.cert or tls.key or "", tls.key or tls.cert)
        if tls.cipher:
            context.set_ciphers(tls.cipher)
    except OSError as error:
        files = [path for path in (tls.ca, tls.capath, tls.crl, tls.crlpath, tls.cert, tls.key) if path]
        raise _tls_error(f"{error} ({', '.join(files) or 'ssl-cipher'})") from None
    if tls.versions == ("TLSv1.2",):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    elif tls.versions == ("TLSv1.3",):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _tls_error(why: str) -> InterfaceError:
    return InterfaceError(f"SSL connection error: {why}", errno=_CR_SSL_CONNECTION_ERROR)
