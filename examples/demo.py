"""`make demo`: SQL that invokes Lambda functions, on a private MySQL and a local Lambda, all gone afterwards.

Reads from top to bottom as a tutorial; how servers are started is lambda_sidecar.testing's business."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import mysql.connector
from examples.aws_stand_in import AwsStandIn, copy_functions
from examples.checkout import CHECKOUT, FUNCTIONS, LIBRARY, mysql_home
from examples.terminal import BOLD, DIM, GREEN, RED, heading, indented, painted, say
from mysql.connector.abstracts import MySQLConnectionAbstract

from lambda_sidecar.testing.mysqld import Mysqld
from lambda_sidecar.testing.ports import free_port
from lambda_sidecar.testing.process import ServerError
from lambda_sidecar.testing.sidecar import SidecarProcess
from lambda_sidecar.testing.stack import Stack

MAIL_SQL = CHECKOUT / "examples" / "aurora" / "ses_send_email.sql"
ENRICH_SQL = CHECKOUT / "examples" / "many_rows" / "enrich.sql"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:"


class WrongAnswerError(Exception):
    """The demo showed something else than it promised."""


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # cleans up on the way out
    heading("A private MySQL with the library, the sidecar, a Lambda on this machine")
    began = time.monotonic()
    local_port = free_port()
    with tempfile.TemporaryDirectory(prefix="lambda-udf-") as folder, contextlib.ExitStack() as running:
        aws = AwsStandIn(Path(folder) / "aws")
        running.callback(aws.stop)
        aws.launch()  # beside MySQL
        names = [function.name for function in FUNCTIONS.iterdir()]
        stack = Stack(
            Path(folder) / "demo",
            home=mysql_home(),
            library=LIBRARY,
            functions=copy_functions(FUNCTIONS, Path(folder) / "functions", names, endpoint_url=aws.url),
            local_port=local_port,
        )
        with stack, stack.mysqld.connect() as connection:
            aws.wait_until_ready()
            say(f"started in {time.monotonic() - began:.1f} s; functions: {FUNCTIONS.relative_to(CHECKOUT)}/")
            say("moto stands in for the rest of AWS")
            demo = Demo(connection, f"http://127.0.0.1:{local_port}")
            demo.version()
            demo.ping()
            demo.json_path()
            demo.trigger()
            demo.outbox(stack.sidecar)
            demo.many_rows(stack.mysqld)
            demo.mail(stack.mysqld, aws)
            demo.error()
    heading("All as it should be")
    say("To try your own: make up, then make sql Q='SELECT …', then make down.")
    return 0


class Demo:
    """The demo's parts, in their order; each raises WrongAnswerError if MySQL answers otherwise."""

    def __init__(self, connection: MySQLConnectionAbstract, lambda_url: str) -> None:
        self.connection = connection
        self.lambda_url = lambda_url

    def version(self) -> None:
        heading("A stock MySQL")
        answer = self.sql("SELECT VERSION()")
        expect(int(answer.split(".")[0]) >= 8, "MySQL 8.0 or newer")

    def ping(self) -> None:
        heading("The call of Aurora's documentation: it waits for the function's answer")
        answer = self.sql(
            "SELECT lambda_sync(\n"
            f"  '{ARN}BasicTestLambda',\n"
            """  '{"operation": "ping"}')"""
        )
        expect(json.loads(answer)["message"] == "pong", "pong")

    def json_path(self) -> None:
        heading("The answer is JSON to MySQL: take out what you need")
        answer = self.sql(
            "SELECT JSON_VALUE(\n"
            "  lambda_sync('BasicTestLambda',\n"
            "              JSON_OBJECT('operation', 'echo',\n"
            "                          'message', 'Grüße aus MySQL 🐬')),\n"
            "  '$.message')"
        )
        expect(answer == "Grüße aus MySQL 🐬", "the message that was sent")

    def trigger(self) -> None:
        heading("A trigger sends an event for each new row, and waits for no answer")
        self.sql("CREATE DATABASE shop")
        self.sql(
            "CREATE TABLE shop.orders (\n"
            "  id INT AUTO_INCREMENT PRIMARY KEY,\n"
            "  customer VARCHAR(80), total DECIMAL(9,2))"
        )
        self.sql(
            "CREATE TRIGGER shop.new_order AFTER INSERT ON shop.orders FOR EACH ROW\n"
            "  SELECT lambda_async(\n"
            f"    '{ARN}Echo',\n"
            "    JSON_OBJECT('order', NEW.id, 'customer', NEW.customer,\n"
            "                'total', NEW.total))\n"
            "    INTO @result"
        )
        self.sql("INSERT INTO shop.orders (customer, total) VALUES ('Ada', 42.50)")
        accepted = json.loads(self.sql("SELECT @result"))
        expect(accepted["StatusCode"] == 202, "StatusCode 202: Lambda has accepted the event")
        say("", "the event, as the function received it:")
        event = self.received("Echo")
        say(f"    {json.dumps(event, ensure_ascii=False)}")
        expect(event == {"order": 1, "customer": "Ada", "total": 42.5}, "the new row")

    def outbox(self, sidecar: SidecarProcess) -> None:
        heading("With lambda_udf. before lambda_async: events of what is committed")
        self.sql("DROP TRIGGER shop.new_order")
        self.sql(
            "CREATE TRIGGER shop.order_placed AFTER INSERT ON shop.orders FOR EACH ROW\n"
            "  SELECT lambda_udf.lambda_async(\n"
            "    'OrderPlaced',\n"
            "    JSON_OBJECT('order', NEW.id, 'customer', NEW.customer,\n"
            "                'total', NEW.total))\n"
            "    INTO @result"
        )
        self.sql("START TRANSACTION")
        self.sql("INSERT INTO shop.orders (customer, total) VALUES ('Grace', 10)")
        self.sql("ROLLBACK")
        self.sql("INSERT INTO shop.orders (customer, total) VALUES ('Barbara', 20)")
        self.placed("Barbara", "the one event that was sent:")
        self.wait_until_settled()
        say("", "the sidecar is killed (SIGKILL)")
        sidecar.kill()
        self.sql("INSERT INTO shop.orders (customer, total) VALUES ('Edsger', 30)")
        waiting = self.sql(
            "SELECT waiting FROM lambda_udf.outbox_status\nWHERE function_name = 'OrderPlaced'"
        )
        expect(waiting == "1", "one event that waits")
        sidecar.start()
        self.placed("Edsger", "the sidecar is back, and sends what has waited:")

    def wait_until_settled(self) -> None:
        """Until the sidecar has deleted the rows of what Lambda has accepted."""
        deadline = time.monotonic() + 20
        with self.connection.cursor() as cursor:
            while time.monotonic() < deadline:
                cursor.execute("SELECT COUNT(*) FROM lambda_udf.outbox")
                if cursor.fetchone() == (0,):
                    return
                time.sleep(0.01)
        raise WrongAnswerError("the outbox is not empty within 20 s")

    def placed(self, customer: str, text: str) -> None:
        """Print the one event that OrderPlaced has received since the sidecar's start."""
        event = self.received("OrderPlaced", only=True)
        say("", text, f"    {json.dumps(event)}")
        expect(event["customer"] == customer, f"the order of {customer}")

    def many_rows(self, mysqld: Mysqld) -> None:
        heading("200 rows of a function that takes half a second, in the time of one")
        self.sql("CREATE TABLE shop.payments (amount DECIMAL(9,2), country CHAR(2))")
        self.sql(
            "INSERT INTO shop.payments\n"
            "  WITH RECURSIVE numbers (n) AS\n"
            "    (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 200)\n"
            "  SELECT n, ELT(1 + n % 3, 'CH', 'FR', 'KR') FROM numbers"
        )
        began = time.monotonic()
        scored = self.sql("SELECT JSON_LENGTH(lambda_batch('Score', amount, country))\nFROM shop.payments")
        say(f"    {time.monotonic() - began:.1f} s; one after the other they would take 100 s")
        expect(scored == "200", "a score for each row")
        say("", f"    examples/many_rows/{ENRICH_SQL.name} fills columns with lambda_map:")
        made = mysqld.client("shop", "--table", input=ENRICH_SQL.read_text())
        expect(made.returncode == 0, f"{ENRICH_SQL.name} to run: {made.stderr}")
        say(made.stdout.rstrip())
        expect("| Zürich   | 47.37690 |   8.54170 |        40 |" in made.stdout, "Zürich's coordinates")

    def mail(self, mysqld: Mysqld, aws: AwsStandIn) -> None:
        heading("Aurora's worked example: a procedure that sends a mail by Amazon SES")
        with contextlib.closing(aws.client("ses")) as ses:
            ses.verify_email_identity(EmailAddress="example_from@amazon.com")
        say("", f"    examples/aurora/{MAIL_SQL.name} makes the procedure SES_send_email")
        made = mysqld.client("shop", input=MAIL_SQL.read_text())
        expect(made.returncode == 0, f"{MAIL_SQL.name} to run: {made.stderr}")
        self.sql(
            "CALL shop.SES_send_email(\n"
            "  'example_from@amazon.com', 'example_to@amazon.com',\n"
            "  'Email subject', 'Email content')"
        )
        self.received("SES_send_email")
        (mail,) = aws.mails()
        shown = {key: mail[key] for key in ("source", "destinations", "subject", "body")}
        say("", "the mail, as SES (moto's) has sent it:", *indented(json.dumps(shown)))
        expect((mail["subject"], mail["body"]) == ("Email subject", "Email content"), "the mail")

    def error(self) -> None:
        heading("A function that fails makes the statement fail, and says why")
        statement = f"""SELECT lambda_sync(\n  '{ARN}Raise',\n  '{{"message": "no such customer"}}')"""
        try:
            self.sql(statement)
        except mysql.connector.Error as failure:
            shown = indented(f"ERROR {failure.errno} ({failure.sqlstate}): {failure.msg}")
            say(*(painted(line, RED) for line in shown))
            expect(failure.errno == 3200 and "ValueError: no such customer" in str(failure.msg), "the error")
        else:
            raise WrongAnswerError("the call should have failed")

    def sql(self, statement: str) -> str:
        """Print a statement, run it, print its answer; the answer is one value, or none ('')."""
        say("")
        for number, line in enumerate(f"{statement};".splitlines()):
            say(painted("    -> " if number else "mysql> ", DIM) + painted(line, BOLD))
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            if cursor.description is None:
                say(painted("    OK", GREEN))
                return ""
            row: Any = cursor.fetchone()
        answer = str(row[0])
        say(*(painted(line, GREEN) for line in indented(answer)))
        return answer

    def received(self, function: str, *, only: bool = False) -> Any:
        """The newest event of a function, from the local Lambda's record; waits until it has been handled.
        `only`: there must be no other."""
        request = urllib.request.Request(  # noqa: S310 - the URL is ours, on loopback
            f"{self.lambda_url}/_local/invocations?{urllib.parse.urlencode({'function': function})}",
            # The local Lambda serves only what a web page cannot send; it does not look at the signature.
            headers={"Authorization": "AWS4-HMAC-SHA256 demo"},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with direct.open(request, timeout=5) as answer:
                invocations = json.load(answer)
            if invocations and invocations[-1]["finished"] is not None:
                expect(not only or len(invocations) == 1, f"one event of {function}")
                return json.loads(invocations[-1]["payload"])
            time.sleep(0.05)
        raise WrongAnswerError(f"{function} has not handled the event within 20 s")


def expect(holds: bool, what: str) -> None:
    if not holds:
        raise WrongAnswerError(f"expected: {what}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (WrongAnswerError, ServerError, OSError, mysql.connector.Error) as problem:
        sys.exit(f"demo failed: {problem}")
