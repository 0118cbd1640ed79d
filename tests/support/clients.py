"""What clients set for their connection if nobody tells them anything.

Knows facts of others' code; asserts nothing. tests/sql/test_clients.py asks the ones that can be had themselves."""

from __future__ import annotations

from typing import NamedTuple


class Client(NamedTuple):
    name: str
    charset: str
    collation: str
    """collation_connection on a server whose own is utf8mb4_0900_ai_ci"""


CLIENTS = (
    # npm's mysql2: lib/connection_config.js, UTF8MB4_UNICODE_CI
    Client("mysql2 (npm)", "utf8mb4", "utf8mb4_unicode_ci"),
    # Connector/J 8.0.26 and newer: utf8mb4 (Connector/J Developer Guide: characterEncoding), the server's default
    Client("MySQL Connector/J", "utf8mb4", "utf8mb4_0900_ai_ci"),
    # CONJ-597: the server's where its number is below 248, else 224
    Client("MariaDB Connector/J", "utf8mb4", "utf8mb4_unicode_ci"),
    # charset=utf8mb4 in the DSN: ext/mysqlnd/mysqlnd_charset.c sends number 45
    Client("PHP PDO", "utf8mb4", "utf8mb4_general_ci"),
    # config/database.php of a new project
    Client("Laravel", "utf8mb4", "utf8mb4_unicode_ci"),
    # /etc/mysql/mariadb.conf.d/50-client.cnf: utf8mb4, of which MariaDB's client library sends number 45
    Client("Debian's mariadb", "utf8mb4", "utf8mb4_general_ci"),
    # Django's django/db/backends/mysql: charset utf8mb4, by SET NAMES
    Client("mysqlclient under Django", "utf8mb4", "utf8mb4_0900_ai_ci"),
    # pymysql/connections.py: SET NAMES utf8mb4
    Client("PyMySQL", "utf8mb4", "utf8mb4_0900_ai_ci"),
    # mysql/connector/constants.py: MYSQL_DEFAULT_CHARSET_ID_80 is 255
    Client("MySQL Connector/Python", "utf8mb4", "utf8mb4_0900_ai_ci"),
    # collations.go: defaultCollation
    Client("go-sql-driver", "utf8mb4", "utf8mb4_general_ci"),
    # .NET's MySqlConnector up to 0.x: issue 243 there
    Client("MySqlConnector", "utf8mb4", "utf8mb4_bin"),
    # Active Record with `collation: utf8mb4_unicode_ci` in database.yml, as rails/rails#41232 shows it
    Client("Rails with mysql2", "utf8mb4", "utf8mb4_unicode_ci"),
    # wp-includes/wp-db.php: "Use the utf8mb4_unicode_520_ci collation, when available"
    Client("WordPress", "utf8mb4", "utf8mb4_unicode_520_ci"),
    # Programs from before utf8mb4, and Connector/J up to 8.0.25 on a latin1 server
    Client("latin1 programs", "latin1", "latin1_swedish_ci"),
    Client("utf8mb3 programs", "utf8mb3", "utf8mb3_general_ci"),
)
