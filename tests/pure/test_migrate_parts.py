"""The parts of migrate-check on SQL text: tokens, uses, grants, needs and findings.

Each test's name is the sentence that it proves; no server."""

from __future__ import annotations

import pytest
from tests.support.aurora_grants import GRANTS

from lambda_sidecar.install.options import Account
from lambda_sidecar.migrate.dump import read_dump, statements
from lambda_sidecar.migrate.findings import Block, blocks
from lambda_sidecar.migrate.grants import Grant, Holdings, for_stock_mysql, read_grant
from lambda_sidecar.migrate.inventory import Inventory, SqlObject
from lambda_sidecar.migrate.usage import read_usage

APP = Account("app", "%")
JOB = Account("job", "localhost")
ROOT = Account("root", "localhost")
ROLE = Account("AWS_LAMBDA_ACCESS", "%")
CALL = "SELECT lambda_async('f', '{}') INTO @r"

# ---- what a text uses ----


@pytest.mark.parametrize(
    ("text", "functions"),
    [
        ("SELECT lambda_sync('f', '1')", {"lambda_sync"}),
        ("SELECT LAMBDA_ASYNC('f', '1') INTO @r", {"lambda_async"}),
        ("SET x = `Lambda_Sync` ('f', '1')", {"lambda_sync"}),
        ("SET x = lambda_sync\n\t(\n'f', '1')", {"lambda_sync"}),
        ("SET x = lambda_sync/* why */('f', '1')", {"lambda_sync"}),
        ("SET x = lambda_sync -- why\n('f', '1')", {"lambda_sync"}),
        ("SET x = lambda_sync # why\n('f', '1')", {"lambda_sync"}),
        ("/*!50003 SET x = lambda_sync('f', '1') */", {"lambda_sync"}),
        ("SELECT lambda_sync(f, lambda_async('f', '1'))", {"lambda_sync", "lambda_async"}),
        ("SELECT 'it''s', lambda_sync('f', '1')", {"lambda_sync"}),
        ("SELECT 'it\\'s', lambda_sync('f', '1')", {"lambda_sync"}),
        ("SELECT 7-lambda_sync('f', '1')", {"lambda_sync"}),
        ("SELECT 'lambda_sync(1)'", set()),
        ('SELECT "lambda_sync(1)"', set()),
        ("SELECT 1 -- lambda_sync(1)", set()),
        ("SELECT 1 # lambda_sync(1)", set()),
        ("SELECT 1 /* lambda_sync(1) */", set()),
        ("SELECT 1 /*+ lambda_sync(1) */", set()),
        ("SELECT '\\'lambda_sync(1)'", set()),
        ("SELECT lambda_sync FROM t", set()),
        ("SET @lambda_sync = (1)", set()),
        ("SELECT @lambda_sync (1)", set()),
        ("SELECT my_lambda_sync(1), lambda_syncs(1), lambda_invoke(1)", set()),
        ("SELECT shop.lambda_sync(1)", set()),
        ("CALL lambda_async('f', '1')", set()),
        ("CALL mysql.lambda_async('f', '1')", set()),
        ("SELECT 1--lambda_sync(1)", {"lambda_sync"}),  # -- without white space is two minus signs
    ],
)
def test_a_call_is_found_in_any_writing_and_nothing_else_is_taken_for_one(
    text: str, functions: set[str]
) -> None:
    usage = read_usage(text)
    assert usage.functions == functions
    assert usage.procedure == ("mysql.lambda" in text)


@pytest.mark.parametrize(
    "text",
    [
        "CALL mysql.lambda_async('f', '1')",
        "call `mysql` . `lambda_async` ('f', '1')",
        "CALL/**/MySQL.Lambda_Async\n('f', '1')",
    ],
)
def test_the_procedure_is_found_in_any_writing(text: str) -> None:
    usage = read_usage(text)
    assert (usage.procedure, usage.invokes) == (True, False)


def test_sql_mode_changes_what_a_literal_is() -> None:
    assert read_usage("SELECT \"lambda_sync\"('f', '1')", {"ANSI_QUOTES"}).functions == {"lambda_sync"}
    assert read_usage("SELECT \"lambda_sync\"('f', '1')").functions == set()
    text = "SELECT '\\', lambda_sync('f', '1')"
    assert read_usage(text, {"NO_BACKSLASH_ESCAPES"}).functions == {"lambda_sync"}
    assert read_usage(text).functions == set()


def test_a_call_in_a_string_that_is_prepared_is_reported() -> None:
    assert read_usage("SET @s = 'SELECT lambda_sync(?, ?)'; PREPARE p FROM @s").prepared
    assert not read_usage("SET @s = 'SELECT lambda_sync(?, ?)'").prepared


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("DECLARE EXIT HANDLER FOR 1873 BEGIN END", "3200"),
        ("SELECT aws_comprehend_detect_sentiment(a, 'en')", "aws_comprehend_detect_sentiment()"),
        ("CALL mysql.rds_kill(1)", "mysql.rds_kill"),
        ("LOAD DATA FROM S3 's3://b/k' INTO TABLE t", "FROM S3"),
        ("LOAD XML FROM S3 's3://b/k' INTO TABLE t", "FROM S3"),
        ("SELECT 1 INTO OUTFILE S3 's3://b/k'", "OUTFILE S3"),
        ("GRANT INVOKE LAMBDA ON *.* TO a", "INVOKE_LAMBDA"),
        ("SELECT 'LOAD DATA FROM S3', 18730, '1873', s3 FROM s3", None),
        ("SELECT rds_kill(1), aws_comprehend", None),
    ],
)
def test_what_only_aurora_has_is_reported(text: str, edit: str | None) -> None:
    edits = read_usage(text).edits
    assert len(edits) == (edit is not None)
    assert (edit or "") in " ".join(edits)


# ---- grants ----


@pytest.mark.parametrize(("line", "expected"), GRANTS)
def test_a_grant_is_written_as_stock_mysql_takes_it(line: str, expected: str | None) -> None:
    new, unknown = for_stock_mysql(line)
    assert new == expected
    assert bool(unknown) == (new != line)


def test_a_grant_reads_as_what_it_gives() -> None:
    assert read_grant("GRANT EXECUTE ON PROCEDURE `mysql`.`lambda_async` TO `a`@`%`") == Grant(
        frozenset({"EXECUTE"}), "mysql", "lambda_async"
    )
    assert read_grant("GRANT SELECT (x), INSERT ON `my\\_shop`.* TO a") == Grant(
        frozenset({"SELECT", "INSERT"}), "my\\_shop", "*"
    )
    assert read_grant("GRANT `AWS_LAMBDA_ACCESS`@`%`,r@localhost TO `a`@`%`").roles == (
        ROLE,
        Account("r", "localhost"),
    )
    assert read_grant("GRANT ALL PRIVILEGES ON *.* TO a").gives("EXECUTE", "mysql", "lambda_async")
    assert not read_grant("GRANT ALL PRIVILEGES ON shop.* TO a").gives("EXECUTE", "mysql", "lambda_async")


@pytest.mark.parametrize(
    ("level", "fits", "misses"),
    [
        ("`my\\_shop`", ["my_shop"], ["myxshop", "my_shop2", "*"]),
        ("`my_shop`", ["my_shop", "myxshop"], ["my__shop"]),
        ("`sh%`", ["shop", "sh"], ["ash", "*"]),
        ("`a.b`", ["a.b"], ["axb"]),
        ("*", ["shop", "*"], []),
    ],
)
def test_a_schema_in_a_grant_is_a_pattern(level: str, fits: list[str], misses: list[str]) -> None:
    grant = read_grant(f"GRANT EXECUTE ON {level}.* TO a")
    assert [schema for schema in (*fits, *misses) if grant.gives("EXECUTE", schema, "p")] == fits


def test_auroras_own_roles_are_not_reported() -> None:
    lines = {
        Account("AWS_LAMBDA_ACCESS", "%"): ("GRANT INVOKE LAMBDA ON *.* TO `AWS_LAMBDA_ACCESS`@`%`",),
        Account("AWS_LOAD_S3_ACCESS", "%"): ("GRANT LOAD FROM S3 ON *.* TO `AWS_LOAD_S3_ACCESS`@`%`",),
    }
    assert blocks(Inventory((), lines)) == []


# ---- who needs what ----


def holdings(**default_roles: tuple[Account, ...]) -> Holdings:
    """root has SUPER, app holds nothing; `job` gets what the case gives it."""
    grants = {
        ROOT: (read_grant("GRANT SELECT, EXECUTE, SUPER ON *.* TO root@localhost"),),
        APP: (Grant(),),
        JOB: (Grant(),),
        ROLE: (read_grant("GRANT INVOKE_LAMBDA ON *.* TO AWS_LAMBDA_ACCESS"),),
    }
    return Holdings(grants, sessions=frozenset({ROOT, APP, JOB}))


def with_grants(
    account: Account, *lines: str, default: tuple[Account, ...] = (), all_roles: bool = False
) -> Holdings:
    base = holdings()
    return Holdings(
        {**base.grants, account: tuple(map(read_grant, lines))},
        {account: default},
        base.sessions,
        all_roles,
    )


def trigger(text: str, definer: Account = APP) -> SqlObject:
    return SqlObject("trigger", "shop", "new_order", definer, text)


def found(*objects: SqlObject, held: Holdings | None = None) -> dict[str, Block]:
    inventory = Inventory(objects, holdings=held or holdings())
    return {block.title.split(",")[0]: block for block in blocks(inventory)}


def statements_of(block: Block) -> list[str]:
    return [statement for finding in block.findings for statement in finding.statements]


GRANT = ["GRANT AWS_LAMBDA_ACCESS TO 'app'@'%';", "SET DEFAULT ROLE AWS_LAMBDA_ACCESS TO 'app'@'%';"]
EXECUTE = ["GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO 'app'@'%';"]


def test_a_definer_gets_the_role_and_keeps_its_others() -> None:
    block = found(trigger(CALL))["trigger shop.new_order"]
    assert (block.notes, statements_of(block)) == (("calls lambda_async",), GRANT)
    held = with_grants(APP, "GRANT `other`@`%` TO `app`@`%`", default=(Account("other", "%"),))
    assert statements_of(found(trigger(CALL), held=held)["trigger shop.new_order"]) == [
        GRANT[0],
        "SET DEFAULT ROLE 'other'@'%', AWS_LAMBDA_ACCESS TO 'app'@'%';",
    ]


@pytest.mark.parametrize(
    ("held", "text", "needed"),
    [
        (with_grants(APP, "GRANT INVOKE_LAMBDA ON *.* TO app"), CALL, []),
        (with_grants(APP, "GRANT SELECT, INVOKE LAMBDA ON *.* TO app"), CALL, []),
        (with_grants(APP, "GRANT SUPER ON *.* TO app"), CALL, []),
        (with_grants(APP, "GRANT `AWS_LAMBDA_ACCESS`@`%` TO app", default=(ROLE,)), CALL, []),
        (with_grants(APP, "GRANT `AWS_LAMBDA_ACCESS`@`%` TO app"), CALL, GRANT[1:]),
        (with_grants(APP, "GRANT `AWS_LAMBDA_ACCESS`@`%` TO app", all_roles=True), CALL, GRANT[1:]),
        (with_grants(APP, "GRANT `AWS_LAMBDA_ACCESS`@`%` TO app"), f"BEGIN SET ROLE ALL; {CALL}; END", []),
        (holdings(), "CALL mysql.lambda_async('f', '1')", EXECUTE),
        (with_grants(APP, "GRANT EXECUTE ON *.* TO app"), "CALL mysql.lambda_async('f', '1')", []),
        (
            with_grants(APP, "GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO app"),
            "CALL mysql.lambda_async(1, 2)",
            [],
        ),
        # the one does not give the other
        (with_grants(APP, "GRANT INVOKE_LAMBDA ON *.* TO app"), "CALL mysql.lambda_async(1, 2)", EXECUTE),
        (with_grants(APP, "GRANT EXECUTE ON *.* TO app"), CALL, GRANT),
    ],
)
def test_a_definer_needs_only_what_it_lacks(held: Holdings, text: str, needed: list[str]) -> None:
    block = found(trigger(text), held=held)["trigger shop.new_order"]
    assert statements_of(block) == needed


def test_root_as_definer_needs_nothing() -> None:
    for text in (CALL, "CALL mysql.lambda_async('f', '1')"):
        assert found(trigger(text, ROOT))["trigger shop.new_order"].findings == ()


def test_a_definer_that_does_not_exist_is_reported() -> None:
    block = found(trigger(CALL, Account("gone", "%")))["trigger shop.new_order"]
    assert "does not exist here (error 1449)" in block.findings[0].text


def test_a_trigger_answers_for_an_invoker_procedure_that_it_calls_over_others() -> None:
    outer = SqlObject("procedure", "shop", "outer_one", JOB, "CALL `Inner_One`()", invoker=True)
    inner = SqlObject("procedure", "shop", "inner_one", JOB, f"BEGIN {CALL}; END", invoker=True)
    block = found(trigger("CALL shop.outer_one()"), outer, inner)["trigger shop.new_order"]
    assert block.notes == ("reaches lambda_async through procedure shop.inner_one",)
    assert statements_of(block) == GRANT


def test_a_definer_procedure_answers_for_itself() -> None:
    inner = SqlObject("procedure", "shop", "notify", JOB, CALL)
    both = found(trigger("CALL notify()"), inner)
    block = both["trigger shop.new_order"]
    assert (block.notes, block.findings) == (("reaches lambda_async through procedure shop.notify",), ())
    assert statements_of(both["procedure shop.notify"])[0] == "GRANT AWS_LAMBDA_ACCESS TO 'job'@'localhost';"


def test_procedures_that_call_each_other_end() -> None:
    one = SqlObject("procedure", "shop", "one", APP, "CALL two()", invoker=True)
    two = SqlObject("procedure", "shop", "two", APP, f"BEGIN CALL one(); {CALL}; END", invoker=True)
    assert set(found(one, two)) == {"procedure shop.one", "procedure shop.two"}


@pytest.mark.parametrize("kind", ["view", "function"])
def test_who_may_run_it_needs_the_privilege_and_others_do_not(kind: str) -> None:
    one = SqlObject(kind, "shop", "v", JOB, CALL, invoker=True)
    right = "SELECT" if kind == "view" else "EXECUTE"
    assert found(one)[f"{kind} shop.v"].findings == ()  # of these only root may, and root has SUPER
    held = with_grants(APP, f"GRANT {right} ON shop.* TO app")
    assert statements_of(found(one, held=held)[f"{kind} shop.v"]) == GRANT
    held = with_grants(
        APP, f"GRANT {right} ON shop.* TO app", "GRANT AWS_LAMBDA_ACCESS TO app", all_roles=True
    )
    assert found(one, held=held)[f"{kind} shop.v"].findings == ()


def test_what_does_not_reach_lambda_is_not_listed() -> None:
    assert found(trigger("SET NEW.a = 'lambda_sync(1)'")) == {}


def test_the_order_does_not_hang_on_the_servers() -> None:
    objects = (
        trigger(CALL),
        SqlObject("event", "a", "e", APP, CALL),
        SqlObject("event", "A", "d", APP, CALL),
    )
    assert list(found(*objects)) == list(found(*objects[::-1]))


# ---- dumps ----

DUMP = """\
-- MySQL dump 10.13  Distrib 5.7.44
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
USE `shop`;
CREATE TABLE `orders` (
  `id` int DEFAULT '0' COMMENT 'lambda_sync(1);'
);
INSERT INTO `orders` VALUES (1,'CREATE TRIGGER x lambda_sync(1);'),
(2,'DELIMITER ;;');
/*!50003 SET sql_mode              = 'STRICT_TRANS_TABLES,NO_AUTO_CREATE_USER' */ ;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`app`@`%`*/ /*!50003 TRIGGER `new_order` AFTER INSERT ON `orders` FOR EACH ROW BEGIN
  -- lambda_sync
  SELECT LAMBDA_ASYNC('f', '{}') INTO @r;
END */;;
DELIMITER ;
DELIMITER ;;
/*!50106 CREATE*/ /*!50117 DEFINER=`job`@`localhost`*/ /*!50106 EVENT `nightly` ON SCHEDULE EVERY 1 DAY DO CALL mysql.lambda_async('f', '1') */ ;;
CREATE DEFINER=`app`@`%` PROCEDURE `notify`(a TEXT)
    SQL SECURITY INVOKER
BEGIN
  DO lambda_sync('f', a);
END ;;
DELIMITER ;
/*!50001 CREATE VIEW `answers` AS SELECT 1 AS `a`*/;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`app`@`%` SQL SECURITY DEFINER */
/*!50001 VIEW `answers` AS select lambda_sync('f',`orders`.`id`) AS `a` from `orders` */;
GRANT SELECT, INVOKE LAMBDA, INVOKE SAGEMAKER ON *.* TO 'app'@'%';
"""


def test_a_dump_gives_the_same_objects() -> None:
    inventory = read_dump(DUMP.splitlines(keepends=True))
    assert {(str(one), one.definer, one.runs_as_caller) for one in inventory.objects} == {
        ("trigger shop.new_order", APP, False),
        ("event shop.nightly", JOB, False),
        ("procedure shop.notify", APP, True),
        ("view shop.answers", APP, True),
    }
    titles = {block.title: block for block in blocks(inventory)}
    assert titles["trigger shop.new_order, runs as 'app'@'%'"].notes == ("calls lambda_async",)
    assert statements_of(titles["event shop.nightly, runs as 'job'@'localhost'"]) == [
        "GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO 'job'@'localhost';"
    ]
    assert titles["view shop.answers, runs as the account that reads it"].findings[0].kind == "look"
    assert statements_of(titles["grants of 'app'@'%'"]) == [
        "GRANT SELECT, INVOKE_LAMBDA ON *.* TO 'app'@'%';"
    ]
    (mode,) = (block for title, block in titles.items() if title.startswith("sql_mode"))
    assert "error 1231" in mode.findings[0].text


def test_rows_of_tables_are_left_aside() -> None:
    rows = "INSERT INTO t VALUES (1),\n(2),\n(';');\nUSE a;\n"
    assert list(statements(rows.splitlines(keepends=True))) == ["USE a"]
