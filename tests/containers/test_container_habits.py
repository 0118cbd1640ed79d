"""MySqlLambdaContainer as people know testcontainers: connection URL, dbname, with_…, and no reaper where none is wanted.

Each test's name is the sentence that it proves. `images` (conftest.py) builds the images, or leaves these out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import mysql.connector
import pytest
from testcontainers.core.config import testcontainers_config
from tests.support.stack import execute

from lambda_sidecar.testing import MySqlLambdaContainer
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.process import ServerError

ORDERS = "CREATE TABLE orders (id INT PRIMARY KEY); INSERT INTO orders VALUES (7);"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def no_reaper(images: None) -> Iterator[None]:
    """No variable has switched it off, and its image cannot be had."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testcontainers_config, "ryuk_disabled", False)
        patch.setattr(testcontainers_config, "ryuk_image", "lambda-udf/no-such-reaper:0")
        yield


@pytest.fixture(scope="module")
def kit(
    no_reaper: None, port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MySqlLambdaContainer]:
    """With everything that can be asked for, in one start."""
    more = tmp_path_factory.mktemp("init") / "more.sql"
    more.write_text("INSERT INTO orders VALUES (8);")
    mounted = tmp_path_factory.mktemp("mounted")
    (mounted / "note").write_text("mounted")
    container = (
        MySqlLambdaContainer(
            dbname="shop", dialect="pymysql", mysqld_options=["--max-connections=77"], reaper=False
        )
        .with_env("MYSQL_USER", "app")
        .with_envs(MYSQL_PASSWORD="app-1")
        .with_command("--sql-mode=ANSI --init-connect='SET @greeting = 7'")
        .with_bind_ports(3306, port)
        .with_volume_mapping(mounted, "/mounted")
        .with_init_files({"10-orders.sql": ORDERS, "20-more.sql": more})
    )
    with container as started:
        yield started


def test_the_connection_url_has_the_database_and_every_part_of_it_connects(
    kit: MySqlLambdaContainer, port: int
) -> None:
    url = urlsplit(kit.get_connection_url())
    assert (url.scheme, url.port, kit.dbname) == ("mysql+pymysql", port, "shop")
    assert (kit.get_container_host_ip(), kit.get_exposed_port(3306)) == (url.hostname, url.port)
    assert url.username == kit.username == "root"
    with contextlib.closing(
        mysql.connector.connect(
            host=url.hostname,
            port=url.port,
            user=url.username,
            password=unquote(url.password or ""),
            database=url.path.removeprefix("/"),
        )
    ) as connection:
        assert connection.is_connected()


def test_what_was_asked_of_the_container_holds_and_calls_still_reach_the_test(
    kit: MySqlLambdaContainer,
) -> None:
    kit.function("f", lambda event: event)
    with contextlib.closing(kit.connect(database=kit.dbname)) as connection:
        assert execute(connection, "SELECT id, lambda_sync('f', id) FROM orders ORDER BY id") == [
            (7, "7"),
            (8, "8"),
        ]
        ((mode, most),) = execute(connection, "SELECT @@sql_mode, @@max_connections")
        assert ("ANSI" in mode, most) == (True, 77)
    # Not for root, for whom mysqld leaves init_connect out.
    with contextlib.closing(kit.connect(user="app", password="app-1", database="shop")) as connection:
        assert execute(connection, "SELECT COUNT(*), @greeting FROM orders") == [(2, 7)]
    assert kit.exec(["cat", "/mounted/note"]).output == b"mounted"
    assert b"10-orders.sql" in b"".join(kit.get_logs())
    assert kit.get_wrapped_container().status == "running"


def test_before_its_start_it_says_that_it_is_not_started() -> None:
    with pytest.raises(ServerError, match="MySqlLambdaContainer is not started"):
        MySqlLambdaContainer().get_connection_url()


def test_without_the_reapers_image_it_says_how_to_do_without_it(no_reaper: None) -> None:
    """With reaper=False it has started: `kit` shows that."""
    advice = r"no-such-reaper.*: MySqlLambdaContainer\(reaper=False\), or TESTCONTAINERS_RYUK_DISABLED=true"
    with pytest.raises(ServerError, match=advice):
        MySqlLambdaContainer().start()
