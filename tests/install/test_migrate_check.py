"""lambda-sidecar migrate-check against a real server, and against the dump of that server.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
import pytest
from tests.support.aurora_grants import GRANTS
from tests.support.checkout import ROOT
from tests.support.installation import Outcome, run
from tests.support.markdown import blocks
from tests.support.stack import Library, Stack, execute, start_stack

INSTALL = ROOT / "udf/sql/install.sql"
FUNCTION = "Echo"
# Strangers' shapes: capitals, quotation marks, comments between name and parenthesis, calls over others.
OBJECTS = f"""
SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci;
DROP DATABASE IF EXISTS shop;
DROP USER IF EXISTS app@'%', job@localhost, reader@localhost, 'it''s'@'%', stranger@localhost;
DROP ROLE IF EXISTS other;
CREATE DATABASE shop;
CREATE USER app@'%', job@localhost, reader@localhost, 'it''s'@'%', stranger@localhost;
CREATE ROLE other;
GRANT other TO job@localhost;
SET DEFAULT ROLE other TO job@localhost;
GRANT SELECT, INSERT, EXECUTE, TRIGGER ON shop.* TO app@'%', job@localhost;
GRANT SELECT ON shop.* TO reader@localhost;
GRANT SHOW_ROUTINE ON *.* TO stranger@localhost;
USE shop;
CREATE TABLE orders (id INT PRIMARY KEY, état VARCHAR(10));
GRANT SELECT ON orders TO 'it''s'@'%';
DELIMITER //
CREATE DEFINER = app@'%' TRIGGER new_order AFTER INSERT ON orders FOR EACH ROW
BEGIN
  -- lambda_sync('only a comment')
  SELECT LAMBDA_ASYNC /* why */ ('{FUNCTION}', JSON_OBJECT('id', NEW.id)) INTO @r;
END//
CREATE DEFINER = app@'%' TRIGGER old_order BEFORE DELETE ON orders FOR EACH ROW CALL notify('{{}}')//
CREATE DEFINER = root@localhost PROCEDURE notify(IN payload TEXT) SQL SECURITY INVOKER
BEGIN
  DECLARE EXIT HANDLER FOR 1873 SET @failed = 1;
  CALL `mysql`.`lambda_async`('{FUNCTION}', payload);
END//
CREATE DEFINER = job@localhost FUNCTION answer(payload TEXT) RETURNS TEXT CHARSET utf8mb4 NOT DETERMINISTIC
RETURN `lambda_sync`('{FUNCTION}', payload)//
CREATE DEFINER = 'it''s'@'%' EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO DO lambda_async('{FUNCTION}', '1')//
CREATE DEFINER = root@localhost PROCEDURE by_root() DO lambda_async('{FUNCTION}', '1')//
CREATE PROCEDURE innocent() SELECT 'lambda_sync(1)', "lambda_async(2)" -- lambda_sync(3)
//
DELIMITER ;
CREATE SQL SECURITY INVOKER VIEW answers AS SELECT id, lambda_sync('{FUNCTION}', id) AS answer FROM orders;
"""


@pytest.fixture(scope="module")
def shared_shop(
    mysql_home: Path, library: Library, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    with start_stack(mysql_home, tmp_path_factory.mktemp(f"migrate-{library.value}"), library) as stack:
        installed = stack.mysqld.client(input=INSTALL.read_text())
        assert installed.returncode == 0, installed.stderr
        yield stack


@pytest.fixture
def shop(shared_shop: Stack) -> Stack:
    done = shared_shop.mysqld.client(input=OBJECTS)
    assert done.returncode == 0, done.stderr
    shared_shop.record.clear()
    return shared_shop


def check(shop: Stack, *arguments: str | Path) -> Outcome:
    return run("migrate-check", shop.mysqld, *arguments)


REPORT = """\
event shop.nightly, runs as 'it''s'@'%'
  calls lambda_async
  needs a grant: its definer, 'it''s'@'%', needs the privilege INVOKE_LAMBDA, as a default role
      GRANT AWS_LAMBDA_ACCESS TO 'it''s'@'%';
      SET DEFAULT ROLE AWS_LAMBDA_ACCESS TO 'it''s'@'%';

function shop.answer, runs as 'job'@'localhost'
  calls lambda_sync
  needs a grant: its definer, 'job'@'localhost', needs the privilege INVOKE_LAMBDA, as a default role
      GRANT AWS_LAMBDA_ACCESS TO 'job'@'localhost';
      SET DEFAULT ROLE 'other'@'%', AWS_LAMBDA_ACCESS TO 'job'@'localhost';

procedure shop.by_root, runs as 'root'@'localhost'
  calls lambda_async
  works unchanged

procedure shop.notify, SQL SECURITY INVOKER
  calls the procedure mysql.lambda_async
  needs a grant: an account that may run it, 'app'@'%', needs EXECUTE on mysql.lambda_async and nothing else for it
      GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO 'app'@'%';
  needs a grant: an account that may run it, 'job'@'localhost', needs EXECUTE on mysql.lambda_async and nothing else for it
      GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO 'job'@'localhost';
  needs an edit: error 1873 is Aurora's number for a failed call; here it is 3200

trigger shop.new_order, runs as 'app'@'%'
  calls lambda_async
  needs a grant: its definer, 'app'@'%', needs the privilege INVOKE_LAMBDA, as a default role
      GRANT AWS_LAMBDA_ACCESS TO 'app'@'%';
      SET DEFAULT ROLE AWS_LAMBDA_ACCESS TO 'app'@'%';

trigger shop.old_order, runs as 'app'@'%'
  reaches the procedure mysql.lambda_async through procedure shop.notify
  needs a grant: its definer, 'app'@'%', needs EXECUTE on mysql.lambda_async and nothing else for it
      GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO 'app'@'%';

view shop.answers, runs as the account that reads it
  calls lambda_sync
  needs a grant: an account that may run it, 'app'@'%', needs the privilege INVOKE_LAMBDA, as a default role
      GRANT AWS_LAMBDA_ACCESS TO 'app'@'%';
      SET DEFAULT ROLE AWS_LAMBDA_ACCESS TO 'app'@'%';
  needs a grant: an account that may run it, 'job'@'localhost', needs the privilege INVOKE_LAMBDA, as a default role
      GRANT AWS_LAMBDA_ACCESS TO 'job'@'localhost';
      SET DEFAULT ROLE 'other'@'%', AWS_LAMBDA_ACCESS TO 'job'@'localhost';
  needs a grant: an account that may run it, 'reader'@'localhost', needs the privilege INVOKE_LAMBDA, as a default role
      GRANT AWS_LAMBDA_ACCESS TO 'reader'@'localhost';
      SET DEFAULT ROLE AWS_LAMBDA_ACCESS TO 'reader'@'localhost';

6 of 7 need something done before they work on stock MySQL with lambda-udf
"""


def test_the_report_names_each_object_and_the_statements_that_it_needs(shop: Stack) -> None:
    told = check(shop)
    assert (told.status, told.err) == (1, "")
    assert told.out == REPORT


def test_its_statements_are_all_that_is_needed(shop: Stack) -> None:
    insert = "INSERT INTO shop.orders VALUES (1, 'new')"
    with pytest.raises(mysql.connector.Error) as refused:
        shop.query(insert)
    assert refused.value.errno == 1227
    statements = [line.strip() for line in check(shop).out.splitlines() if line.startswith("      ")]
    done = shop.mysqld.client(input="\n".join(statements))
    assert done.returncode == 0, done.stderr
    body = OBJECTS[OBJECTS.index("CREATE DEFINER = root") : OBJECTS.index("CREATE DEFINER = job")]
    edited = shop.mysqld.client(
        "shop", input="DROP PROCEDURE notify;\nDELIMITER //\n" + body.replace("1873", "3200")
    )
    assert edited.returncode == 0, edited.stderr
    told = check(shop)
    assert (told.status, told.err) == (0, "")
    assert told.out.endswith("all 7 work unchanged on stock MySQL with lambda-udf\n")
    shop.query(insert)
    shop.query("DELETE FROM shop.orders")
    with contextlib.closing(shop.connect(user="reader", database="shop")) as reader:
        assert execute(reader, "SELECT * FROM answers") == []
        assert execute(reader, "SELECT CURRENT_ROLE()") == [("`AWS_LAMBDA_ACCESS`@`%`",)]
    assert shop.record.payloads(FUNCTION) == [{"id": 1}, {}]


def test_nothing_is_changed_and_nothing_is_invoked(shop: Stack) -> None:
    shop.query("SET GLOBAL super_read_only = ON")
    try:
        assert check(shop).out == REPORT
    finally:
        shop.query("SET GLOBAL super_read_only = OFF")
        shop.query("SET GLOBAL read_only = OFF")
    assert shop.record.count() == 0


def test_json_says_the_same(shop: Stack) -> None:
    told = check(shop, "--json")
    said = json.loads(told.out)
    assert told.status == 1
    assert said[0]["title"] == "event shop.nightly, runs as 'it''s'@'%'"
    assert said[0]["findings"][0]["kind"] == "grant"
    assert [one["title"] for one in said] == [text.splitlines()[0] for text in REPORT.split("\n\n")[:-1]]


def test_what_may_not_be_read_is_reported(shop: Stack) -> None:
    told = check(shop, "--user", "stranger")
    assert (told.status, told.err) == (1, "")
    for expected in (
        "could not be read",
        "look: triggers of schemas in which this account lacks TRIGGER: it has none on *.*",
        "look: accounts and their grants: SELECT command denied to user 'stranger'@'localhost'",
        "look: each account that runs it needs EXECUTE on mysql.lambda_async, active in its session",
        "needs a grant: its definer, 'job'@'localhost', needs the privilege INVOKE_LAMBDA",
    ):
        assert expected in told.out


def test_no_connection_is_status_2(shop: Stack) -> None:
    told = check(shop, "--user", "nobody")
    assert (told.status, told.out) == (2, "")
    assert "no connection to MySQL" in told.err
    assert check(shop, "--dump", "/nonexistent.sql").err == (
        "lambda-sidecar: /nonexistent.sql: No such file or directory\n"
    )


def test_the_servers_own_dump_has_the_same_objects(shop: Stack, tmp_path: Path) -> None:
    dumped = shop.mysqld.client(
        "--routines", "--events", "--triggers", "--databases", "shop", program="mysqldump"
    )
    assert dumped.returncode == 0, dumped.stderr
    dump = tmp_path / "dump.sql"
    dump.write_text(dumped.stdout)
    told = check(shop, "--dump", dump)
    assert told.status == 1
    of_dump = told.out.split("\n\n")[:-1]
    of_server = REPORT.split("\n\n")[:-1]
    assert [one.splitlines()[:2] for one in of_dump] == [one.splitlines()[:2] for one in of_server]
    assert "GRANT AWS_LAMBDA_ACCESS TO 'app'@'%';" in told.out


def test_a_server_without_calls_says_so(shop: Stack) -> None:
    shop.query("DROP DATABASE shop")
    told = check(shop)
    assert (told.status, told.out) == (0, "nothing here uses Lambda, or what only Aurora has\n")


# ---- what the documents say ----


def block(document: str, language: str, holding: str) -> str:
    """The text of the document's one block that holds this."""
    (found,) = (one for one in blocks(ROOT / document) if one.language == language and holding in one.text)
    return found.text


def test_the_guides_query_finds_what_calls_directly_in_any_writing(shop: Stack) -> None:
    query = block("docs/migrating-from-aurora.md", "sql", "UNION ALL")
    names = {name for _, name, _ in shop.query(query.rstrip().rstrip(";"))}
    assert names == {
        "shop.answer", "shop.answers", "shop.by_root", "shop.innocent", "shop.new_order", "shop.nightly", "shop.notify",
    }  # fmt: skip


def test_the_guides_commands_let_a_dump_of_5_7_in(shop: Stack, tmp_path: Path) -> None:
    command = block("docs/migrating-from-aurora.md", "sh", "NO_AUTO_CREATE_USER").splitlines()[-1]
    lines = [f"/*!50003 SET sql_mode              = '{modes}' */ ;" for modes in (
        "NO_AUTO_CREATE_USER", "STRICT_TRANS_TABLES,NO_AUTO_CREATE_USER", "NO_AUTO_CREATE_USER,NO_ZERO_DATE",
        "STRICT_TRANS_TABLES,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION",
    )]  # fmt: skip
    dump = tmp_path / "dump.sql"
    dump.write_text("\n".join([*lines, "SELECT 'NO_AUTO_CREATE_USER', @@sql_mode;"]) + "\n")
    refused = shop.mysqld.client(input=dump.read_text())
    assert "ERROR 1231" in refused.stderr
    told = check(shop, "--dump", dump)
    assert command in told.out
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    taken = shop.mysqld.client("-N", input=dump.read_text())
    assert (taken.returncode, taken.stderr) == (0, "")
    assert check(shop, "--dump", dump).status == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        *((line, expected) for line, expected in GRANTS if "`" not in line and "IDENTIFIED" not in line),
        ("GRANT LOAD FROM S3, INVOKE LAMBDA, SELECT INTO S3 ON *.* TO a", "GRANT INVOKE_LAMBDA ON *.* TO a"),
        ("grant load from s3,select,invoke comprehend on *.* to a", "grant select on *.* to a"),
        ("GRANT INVOKE BEDROCK,SELECT ON *.* TO a", "GRANT SELECT ON *.* TO a"),
        ("REVOKE INVOKE LAMBDA ON *.* FROM a", "REVOKE INVOKE_LAMBDA ON *.* FROM a"),
        ("REVOKE INVOKE SAGEMAKER, LOAD FROM S3 ON *.* FROM a", None),
        ("-- INVOKE LAMBDA, LOAD FROM S3", "-- INVOKE LAMBDA, LOAD FROM S3"),
    ],
)
def test_the_guides_sed_writes_grants_as_stock_mysql_takes_them(
    line: str, expected: str | None, tmp_path: Path
) -> None:
    command = block("docs/migrating-from-aurora.md", "sh", "grants.sql").rpartition("mysql ")[0]
    file = tmp_path / "grants.sql"
    file.write_text(f"GRANT SELECT ON a.b TO c;\n{line};\nFLUSH PRIVILEGES;\n")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)
    kept = [] if expected is None else [f"{expected};"]
    assert file.read_text().splitlines() == ["GRANT SELECT ON a.b TO c;", *kept, "FLUSH PRIVILEGES;"]


def test_json_value_takes_any_length_as_the_reference_shows_it_and_says_what_is_missing(shop: Stack) -> None:
    shown = block("docs/sql.md", "sql", "RETURNING CHAR").rstrip().rstrip(";")
    assert shop.value(shown) == "x" * 1000
    assert shop.value(shown.replace("1000", "100000")) == "x" * 100_000
    alone = shown.replace("RETURNING CHAR ERROR ON EMPTY ERROR ON ERROR", "")
    assert alone != shown
    assert shop.value(alone) is None
    assert shop.value(alone.replace("1000", "512")) == "x" * 512
    for wrong, errno in (
        (shown.replace("$.text", "$.gone"), 3966),
        (shown.replace("CHAR", "CHAR(999)"), 1690),
    ):
        with pytest.raises(mysql.connector.Error) as refused:
            shop.value(wrong)
        assert refused.value.errno == errno


def test_error_1370_names_who_lacks_execute_as_documented(shop: Stack) -> None:
    call = f"CALL mysql.lambda_async('{FUNCTION}', '1')"
    with contextlib.closing(shop.connect(user="app", database=None)) as app:
        with pytest.raises(mysql.connector.Error) as refused:
            execute(app, call)
        text = "execute command denied to user 'app'@'%' for routine 'mysql.lambda_async'"
        assert (refused.value.errno, refused.value.msg) == (1370, text)
        assert f"| 1370 | `{text}`" in (ROOT / "docs/errors.md").read_text()
        shop.query("GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO 'app'@'%'")
        execute(app, call)
    shop.query("DROP FUNCTION lambda_async")
    try:
        with pytest.raises(
            mysql.connector.Error, match=r"denied to user 'lambda_udf'@'localhost'"
        ) as refused:
            shop.query(call)
        assert refused.value.errno == 1370
    finally:
        shop.query("CREATE FUNCTION lambda_async RETURNS STRING SONAME 'lambda_udf.so'")
