"""The names of the options that MySQL's clients take: those that are supported here, and those of no concern.

Knows names alone. `lambda-sidecar serve` imports this and must not pay for mysql.connector."""

from __future__ import annotations

from lambda_sidecar.install.errors import InstallError
from lambda_sidecar.install.option_file import Setting

TEXTS = {
    "host": "the server's host; localhost and none mean the Unix socket, as for the mysql client",
    "port": "default 3306",
    "socket": "mysqld's Unix socket",
    "protocol": "TCP or SOCKET",
    "user": "an administrator (default root)",
    "ssl-mode": "DISABLED, PREFERRED (default), REQUIRED, VERIFY_CA or VERIFY_IDENTITY",
    "ssl-ca": "file of the CA certificates that VERIFY_CA and VERIFY_IDENTITY trust",
    "ssl-capath": "folder of such certificates",
    "ssl-cert": "this client's certificate",
    "ssl-key": "its key",
    "ssl-cipher": "ciphers of TLS 1.2",
    "ssl-crl": "file of revoked certificates",
    "ssl-crlpath": "folder of such files",
    "tls-version": "TLSv1.2, TLSv1.3 or both",
    "default-auth": "the authentication plugin to begin with",
    "server-public-key-path": "of effect without TLS only, and not supported there",
    "connect-timeout": "seconds",
    "init-command": "SQL to run first",
}
FLAGS = {
    "compress": "compress the connection",
    "enable-cleartext-plugin": "send the password itself where the server asks for it (TLS only)",
    "get-server-public-key": "of effect without TLS only, and not supported there",
}
# In an option file only: passwords do not belong on a command line.
_PASSWORDS = ("password", "password1")
# Options of the mysql client's terminal: how statements are typed there and how results are printed.
_TERMINAL = (
    "auto-rehash auto-vertical-output batch beep binary-as-hex binary-mode character-sets-dir "
    "column-names column-type-info commands comments connect-expired-password database debug "
    "debug-check debug-info default-character-set delimiter execute force histignore html "
    "i-am-a-dummy ignore-spaces line-numbers load-data-local-dir local-infile max-allowed-packet "
    "max-join-size named-commands net-buffer-length no-auto-rehash no-beep one-database pager "
    "plugin-dir prompt quick raw reconnect safe-updates select-limit show-warnings sigint-ignore "
    "silent syslog system-command table tee unbuffered verbose vertical wait xml "
)
# Options that ask for nothing when they have this value.
_NEUTRAL = {"ssl-fips-mode": "OFF", "compression-algorithms": "UNCOMPRESSED"}


def known(written: Setting) -> Setting | None:
    """The setting under its full name, None if it is of no concern. Raises InstallError for other options."""
    loose = written.name.startswith("loose-")
    setting = _spelled_out(Setting(written.name.removeprefix("loose-"), written.value, written.source))
    name, value = setting.name, setting.value
    if name in TEXTS or name in FLAGS or name in _PASSWORDS:
        return setting
    if name in _TERMINAL.split() or (name in _NEUTRAL and (value or "").upper() == _NEUTRAL[name]) or loose:
        return None
    raise InstallError(f"option {name} of {setting.source} is not supported; nothing was sent to the server")


def _spelled_out(setting: Setting) -> Setting:
    """skip-compress and disable-compress are compress=0, enable-compress is compress (my_getopt.cc)."""
    if setting.name in TEXTS or setting.name in FLAGS:
        return setting
    for prefix, value in (("skip-", "0"), ("disable-", "0"), ("enable-", "1")):
        name = setting.name.removeprefix(prefix)
        if name != setting.name and (name in FLAGS or name in _TERMINAL.split()):
            return Setting(name, value, setting.source)
    return setting


def is_off(value: str | None) -> bool:
    return value is not None and value.upper() in ("0", "OFF", "FALSE")
