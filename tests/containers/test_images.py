"""The images, as two containers on a real Docker Engine that share the volume of the socket.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import gzip
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import ImageNotFound
from mysql.connector.errors import Error
from testcontainers.core.container import DockerContainer
from tests.support.checkout import ROOT
from tests.support.containers import (
    DATA,
    INIT,
    LABELS,
    MYSQL_BASE,
    MYSQLD,
    PASSWORD,
    SECRET,
    SOCKETS,
    Pair,
    calls,
    connect,
    container_of,
    engine,
    logs,
    mysql_container,
    query,
    run_in,
    sidecar_container,
    volume,
    wait_for_mysql,
    with_init_files,
)
from tests.support.stack import execute
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("images")

HEALTH = ["lambda-sidecar", "health"]
# As users of the official image write them; they run after the image's own 00-lambda-udf.sql.
INIT_FILES = {
    "10-orders.sql": b"""
CREATE TABLE orders (id INT PRIMARY KEY, answer JSON);
CREATE TRIGGER new_order AFTER INSERT ON orders FOR EACH ROW
  SELECT lambda_async('Echo', JSON_OBJECT('order', NEW.id)) INTO @accepted;
INSERT INTO orders VALUES (1, lambda_sync('Echo', '{"from": "10-orders.sql"}'));
""",
    "20-roles.sh": b"""#!/bin/bash
MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysql --user=root --execute "
  GRANT AWS_LAMBDA_ACCESS TO app; SET DEFAULT ROLE AWS_LAMBDA_ACCESS TO app"
""",
    "30-sourced.sh": b"""
docker_process_sql <<<"CREATE TABLE sourced (done INT)"
""",
    "40-packed.sql.gz": gzip.compress(b"INSERT INTO orders VALUES (2, lambda_sync('Echo', '[2]'));\n"),
}


def orders_announced(pair: Pair) -> list[int]:
    """The orders whose trigger's event the function has had."""
    payloads = [json.loads(call["payload"]) for call in calls(pair.sidecar, "Echo")]
    return sorted(
        payload["order"] for payload in payloads if isinstance(payload, dict) and "order" in payload
    )


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("containers")
    with (
        volume() as sockets,
        volume() as mysqld,
        volume() as data,
        sidecar_container(sockets, directory, mysqld=mysqld) as sidecar,
    ):
        wait_until(lambda: "listening on" in logs(sidecar), seconds=60, what="the sidecar")
        mysql = mysql_container(
            sockets,
            data=data,
            mysqld=mysqld,
            LAMBDA_OUTBOX_PASSWORD=PASSWORD,
            MYSQL_ROOT_PASSWORD=PASSWORD,
            MYSQL_DATABASE="shop",
            MYSQL_USER="app",
            MYSQL_PASSWORD="app-1",
        )
        with_init_files(mysql, directory / "init", INIT_FILES)
        with mysql:
            wait_for_mysql(mysql)
            yield Pair(sockets, mysqld, data, sidecar, mysql)


@pytest.fixture
def pair(started: Pair) -> Pair:
    start_again(started.sidecar)
    return started


def start_again(sidecar: DockerContainer) -> None:
    """And waits until it serves; nothing, if it runs."""
    if container_of(sidecar).status != "running":
        container_of(sidecar).start()
        wait_until(
            lambda: container_of(sidecar).exec_run(HEALTH).exit_code == 0, seconds=60, what="the sidecar"
        )


def test_a_client_on_the_host_calls_a_function(pair: Pair) -> None:
    ((answer,),) = query(
        pair.mysql, "SELECT lambda_sync('BasicTestLambda', JSON_OBJECT('operation', 'ping'))"
    )
    assert json.loads(answer)["message"] == "pong"


def test_init_scripts_call_functions_and_their_triggers_do(pair: Pair) -> None:
    rows = query(pair.mysql, "SELECT id, answer FROM shop.orders WHERE id < 3 ORDER BY id")
    assert [(number, json.loads(answer)) for number, answer in rows] == [
        (1, {"from": "10-orders.sql"}),
        (2, [2]),
    ]
    assert query(pair.mysql, "SELECT COUNT(*) FROM shop.sourced") == [(0,)]
    wait_until(lambda: orders_announced(pair)[:2] == [1, 2], what="the events of the init scripts' rows")


def test_the_account_of_mysql_user_calls_with_the_role_from_an_init_script(pair: Pair) -> None:
    app = {"user": "app", "password": "app-1", "database": "shop"}
    assert query(pair.mysql, "SELECT lambda_sync('Echo', '1')", **app) == [("1",)]
    with contextlib.closing(connect(pair.mysql, **app)) as connection:
        execute(connection, "SET ROLE NONE")
        with pytest.raises(Error, match="Invoke Lambda privilege"):
            execute(connection, "SELECT lambda_sync('Echo', '1')")


def insert_event(pair: Pair, text: str) -> None:
    query(
        pair.mysql,
        f"INSERT INTO lambda_udf.outbox (function_name, payload) VALUES ('Echo', JSON_QUOTE('{text}'))",
    )


def events(sidecar: DockerContainer) -> list[str]:
    return [call["payload"] for call in calls(sidecar, "Echo")]


def test_the_outbox_is_delivered_through_mysqlds_socket_and_its_account_has_no_other_way_in(
    pair: Pair,
) -> None:
    insert_event(pair, "of the outbox")
    wait_until(lambda: '"of the outbox"' in events(pair.sidecar), what="the event")
    wait_until(
        lambda: query(pair.mysql, "SELECT COUNT(*) FROM lambda_udf.outbox") == [(0,)], what="an empty outbox"
    )
    ((host,),) = query(pair.mysql, "SELECT HOST FROM mysql.user WHERE USER = 'lambda_outbox'")
    assert host == "localhost"
    with pytest.raises(Error, match="Access denied"):
        query(pair.mysql, "SELECT 1", user="lambda_outbox")


def test_the_outboxs_account_gets_the_password_of_a_file_when_its_script_runs_again(pair: Pair) -> None:
    script = "/usr/share/lambda-udf/outbox-account.sh"
    other = r"it's \\ new"
    run_in(pair.mysql, "bash", "-c", 'printf "%s\\n" "$0" >/tmp/other', other)
    from_file = ["env", "--unset=LAMBDA_OUTBOX_PASSWORD", "LAMBDA_OUTBOX_PASSWORD_FILE=/tmp/other"]
    run_in(pair.mysql, *from_file, script)
    try:
        client = ["mysql", "--user=lambda_outbox", "--skip-column-names", "--batch", "--execute", "SELECT 1"]
        assert run_in(pair.mysql, "env", f"MYSQL_PWD={other}", *client) == "1"
    finally:
        run_in(pair.mysql, script)
    insert_event(pair, "after both")
    wait_until(lambda: '"after both"' in events(pair.sidecar), what="the event")


def test_the_socket_is_for_the_sidecar_and_the_group_of_mysqld(pair: Pair) -> None:
    listed = run_in(pair.mysql, "stat", "-c", "%u:%g %a", SOCKETS, f"{SOCKETS}/sidecar.sock")
    assert listed.split("\n") == ["10001:999 750", "10001:999 660"]
    assert run_in(pair.mysql, "stat", "-c", "%u:%g", "/proc/1") == "999:999"
    refused = container_of(pair.mysql).exec_run(["ls", SOCKETS], user="nobody")
    assert refused.exit_code != 0


def test_the_sidecar_is_not_root_and_has_nothing_of_mysql_but_the_socket(pair: Pair) -> None:
    assert run_in(pair.sidecar, "id").startswith("uid=10001(lambda-sidecar) gid=999(mysql) groups=999(mysql)")
    assert run_in(pair.sidecar, "sh", "-c", "grep -h ^Uid: /proc/*/status | sort -u").split() == [
        "Uid:",
        *(["10001"] * 4),
    ]
    mounted = {mount["Destination"] for mount in container_of(pair.sidecar).attrs["Mounts"]}
    assert mounted == {SOCKETS, MYSQLD, SECRET, "/functions", "/etc/lambda-sidecar/sidecar.toml"}
    assert container_of(pair.sidecar).exec_run(["ls", DATA]).exit_code != 0


def test_the_health_command_says_that_it_serves(pair: Pair) -> None:
    assert run_in(pair.sidecar, *HEALTH) == ""


def test_mysql_stays_when_the_sidecar_restarts(pair: Pair) -> None:
    with contextlib.closing(connect(pair.mysql)) as connection:
        assert execute(connection, "SELECT lambda_sync('Echo', '1')") == [("1",)]
        container_of(pair.sidecar).restart(timeout=40)
        assert execute(connection, "SELECT lambda_sync('Echo', '2')") == [("2",)]


def test_mysql_stays_when_the_sidecars_container_is_a_new_one(pair: Pair, tmp_path: Path) -> None:
    container_of(pair.sidecar).stop(timeout=40)
    with sidecar_container(pair.sockets, tmp_path, mysqld=pair.mysqld) as sidecar:
        assert query(pair.mysql, "SELECT lambda_sync('Echo', '3')") == [("3",)]
        insert_event(pair, "of a new sidecar")
        wait_until(
            lambda: '"of a new sidecar"' in events(sidecar), what="the event, delivered by the new one"
        )


def test_a_stop_lets_the_running_call_finish(pair: Pair) -> None:
    answers = []

    def call() -> None:
        answers.extend(query(pair.mysql, "SELECT lambda_sync('Sleep', '{\"seconds\": 4}')"))

    caller = threading.Thread(target=call)
    caller.start()
    wait_until(lambda: calls(pair.sidecar, "Sleep"), what="the call in the sidecar")
    container_of(pair.sidecar).stop(timeout=40)
    caller.join(30)
    assert answers == [('{"slept": 4}',)]
    assert container_of(pair.sidecar).attrs["State"]["ExitCode"] == 0


def test_another_container_on_the_same_data_has_everything_and_runs_no_init_script(pair: Pair) -> None:
    container_of(pair.mysql).stop(timeout=60)
    try:
        with mysql_container(pair.sockets, data=pair.data) as mysql:
            wait_for_mysql(mysql)
            query(mysql, "INSERT INTO shop.orders VALUES (7, lambda_sync('Echo', '\"again\"'))")
            assert query(mysql, "SELECT JSON_UNQUOTE(answer) FROM shop.orders WHERE id = 7") == [("again",)]
            assert query(mysql, "SELECT lambda_sync('Echo', '1')", user="app", password="app-1") == [("1",)]
            assert "running /docker-entrypoint-initdb.d" not in logs(mysql)
    finally:
        container_of(pair.mysql).start()
        wait_for_mysql(pair.mysql)
    wait_until(lambda: 7 in orders_announced(pair), what="the new row's event")


def test_the_official_images_other_variables_and_a_mounted_init_folder_work(
    pair: Pair, tmp_path: Path
) -> None:
    folder = tmp_path / "init"
    folder.mkdir(mode=0o755)
    # What the documentation tells those to do who mount a folder of their own.
    (folder / "00-lambda-udf.sql").symlink_to("/usr/share/lambda-udf/install.sql")
    (folder / "50-later.sql").write_text("SELECT lambda_sync('Echo', '\"mounted\"');\n")
    (tmp_path / "password").write_text(PASSWORD + "\n")
    variables = {
        "MYSQL_ROOT_PASSWORD_FILE": "/run/secrets/password",
        "MYSQL_DATABASE": "my_shop",
        "MYSQL_USER": "app",
        "MYSQL_PASSWORD": "pass",
    }
    mysql = mysql_container(pair.sockets, **variables).with_volume_mapping(folder, INIT)
    mysql.with_volume_mapping(tmp_path / "password", "/run/secrets/password")
    with mysql:
        wait_for_mysql(mysql)
        assert query(mysql, "SELECT lambda_sync('Echo', '1')") == [("1",)]
        assert query(mysql, "SELECT DATABASE()", user="app", password="pass", database="my_shop") == [
            ("my_shop",)
        ]
        with pytest.raises(Error, match="Access denied"):
            query(mysql, "SELECT 1", user="app", password="pass", database="mysql")
    assert '"mounted"' in [call["payload"] for call in calls(pair.sidecar, "Echo")]


def test_a_generated_password_is_in_the_log_and_root_can_be_kept_local(pair: Pair) -> None:
    variables = {"MYSQL_RANDOM_ROOT_PASSWORD": "yes", "MYSQL_ROOT_HOST": "localhost"}
    with mysql_container(pair.sockets, **variables) as mysql:
        wait_for_mysql(mysql)
        password = logs(mysql).split("GENERATED ROOT PASSWORD: ")[1].split("\n")[0]
        client = [
            "mysql",
            "--user=root",
            f"--password={password}",
            "--execute",
            "SELECT lambda_sync('Echo', '5')",
        ]
        assert run_in(mysql, *client).endswith("5")
        with pytest.raises(Error):
            query(mysql, "SELECT 1", password=password)


def test_without_a_word_about_the_password_it_ends_and_says_so(pair: Pair) -> None:
    with mysql_container(pair.sockets) as mysql:
        assert container_of(mysql).wait(timeout=60)["StatusCode"] == 1
        assert "MYSQL_RANDOM_ROOT_PASSWORD" in logs(mysql)


def test_the_library_in_the_image_needs_no_newer_glibc_than_the_official_image_has(
    pair: Pair, tmp_path: Path
) -> None:
    ((folder,),) = query(pair.mysql, "SELECT @@plugin_dir")
    library = tmp_path / "lambda_udf.so"
    pair.mysql.copy_from_container(f"{folder}lambda_udf.so", library)
    symbols = subprocess.run(["objdump", "-T", library], check=True, capture_output=True, text=True).stdout
    versions = {
        tuple(map(int, part.split("GLIBC_")[1].strip(")").split(".")))
        for part in symbols.split()
        if "GLIBC_" in part
    }
    assert versions and max(versions) <= (2, 34)  # Oracle Linux 9


def test_the_library_goes_where_the_base_image_has_its_plugins_and_brings_libnghttp2(images: None) -> None:
    with engine() as client:
        if not client.images.get(MYSQL_BASE).labels.get("lambda-udf.stand-in"):
            pytest.skip(f"{MYSQL_BASE} is MySQL's own here; only a stand-in can be made to lack libnghttp2")
    base, image = (f"lambda-udf/test-{part}:{next(iter(LABELS.values()))}" for part in ("base", "image"))
    other_base = (
        f"FROM {MYSQL_BASE}\n"
        "RUN mkdir /opt/plugins && dpkg --purge --force-depends libnghttp2-14"
        " && printf '[mysqld]\\nplugin-dir=/opt/plugins\\n' >/etc/mysql/conf.d/plugins.cnf\n"
    )
    try:
        build("-", "--tag", base, text=other_base)
        build(".", "--tag", image, "--file", "Dockerfile.mysql", "--build-arg", f"MYSQL_IMAGE={base}")
        run = ["docker", "run", "--rm", "--entrypoint", "ldd", image, "/opt/plugins/lambda_udf.so"]
        looked = subprocess.run(run, check=True, capture_output=True, text=True)
        assert "libnghttp2.so.14 => /" in looked.stdout
    finally:
        with engine() as client:
            for name in (image, base):
                with contextlib.suppress(ImageNotFound):
                    client.images.remove(name)


def build(context: str, *arguments: str, text: str | None = None) -> None:
    done = subprocess.run(
        ["docker", "build", *arguments, context],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
