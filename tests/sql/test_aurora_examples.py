"""The worked examples of Aurora's documentation, run as they stand in examples/aurora/ against moto's SES and SNS.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mysql.connector
import pytest
from examples.aws_stand_in import AwsStandIn, copy_functions
from tests.support.checkout import FUNCTIONS, ROOT
from tests.support.stack import Library, Stack, execute, start_stack
from tests.support.waiting import wait_until

EXAMPLES = ROOT / "examples/aurora"
INSTALL = ROOT / "udf/sql/install.sql"
NAMES = ("BasicTestLambda", "Echo", "SES_send_email", "SNS_publish_message")
TOPIC = "Sample_Topic"
SENDER = "example_from@amazon.com"


class Aws(AwsStandIn):
    """An AWS whose topic a queue listens to."""

    queue_url: str

    def prepare(self) -> None:
        with contextlib.ExitStack() as clients:
            ses, sns, sqs = (
                clients.enter_context(contextlib.closing(self.client(service)))
                for service in ("ses", "sns", "sqs")
            )
            ses.verify_email_identity(EmailAddress=SENDER)
            topic = sns.create_topic(Name=TOPIC)["TopicArn"]
            self.queue_url = sqs.create_queue(QueueName="listener")["QueueUrl"]
            queue = sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["QueueArn"])
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue["Attributes"]["QueueArn"])

    def messages(self) -> list[dict[str, Any]]:
        """Takes what is in the queue: SNS notifications."""
        with contextlib.closing(self.client("sqs")) as sqs:
            answer = sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with Aws(tmp_path_factory.mktemp("moto")) as aws:
        aws.prepare()
        yield aws


@pytest.fixture(scope="module")
def shared_aurora(
    aws: Aws, mysql_home: Path, library: Library, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("aurora")
    functions = copy_functions(FUNCTIONS, directory / "functions", NAMES, endpoint_url=aws.url)
    with start_stack(mysql_home, directory, library, functions=functions) as stack:
        installed = stack.mysqld.client(input=INSTALL.read_text())
        assert installed.returncode == 0, installed.stderr
        yield stack


@pytest.fixture
def aurora(shared_aurora: Stack) -> Stack:
    shared_aurora.reset()
    return shared_aurora


def run(stack: Stack, sql: str) -> str:
    """Through the mysql client, as Aurora's documentation shows it; what it prints."""
    done = stack.mysqld.client("--batch", "--skip-column-names", "test", input=sql)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_example(stack: Stack, name: str) -> str:
    return run(stack, (EXAMPLES / f"{name}.sql").read_text())


def test_the_triggers_event_is_accepted_and_reaches_the_function(aurora: Stack) -> None:
    accepted = json.loads(run_example(aurora, "test_trigger"))
    assert accepted["StatusCode"] == 202
    (call,) = aurora.record.calls("BasicTestLambda")
    assert (call["request_id"], json.loads(call["payload"])) == (accepted["RequestId"], {"operation": "ping"})


def test_the_mail_of_auroras_example_is_sent(aurora: Stack, aws: Aws) -> None:
    before = len(aws.mails())
    run_example(aurora, "ses_send_email")
    run(
        aurora,
        "call SES_send_email('example_from@amazon.com', 'example_to@amazon.com', 'Email subject', 'Email content');",
    )
    wait_until(lambda: len(aws.mails()) > before, what="the mail in moto")
    (mail,) = aws.mails()[before:]
    assert {key: mail[key] for key in ("source", "subject", "body", "destinations")} == {
        "source": "example_from@amazon.com",
        "subject": "Email subject",
        "body": "Email content",
        "destinations": {"ToAddresses": ["example_to@amazon.com"]},
    }


def test_the_message_of_auroras_example_is_published(aurora: Stack, aws: Aws) -> None:
    run_example(aurora, "sns_publish_message")
    run(
        aurora,
        "insert into Customer_Feedback (customer_name, customer_feedback) VALUES ('Sample Customer', 'Good job guys!');",
    )
    (message,) = wait_until(aws.messages, what="the message in the queue")
    assert (message["Subject"], message["Message"]) == (
        "New customer feedback from Sample Customer",
        "Good job guys!",
    )
    assert message["TopicArn"] == f"arn:aws:sns:us-west-2:123456789012:{TOPIC}"
    assert aws.messages() == []


NAME = "arn:aws:lambda:us-east-1:123456789012:function:Echo"
SQL_OF_AURORA_USERS = {
    "a procedure wraps CALL mysql.lambda_async": f"""
        DELIMITER ;;
        CREATE PROCEDURE notify(IN n INT) LANGUAGE SQL
        BEGIN CALL mysql.lambda_async('{NAME}', CONCAT('{{"n" : ', n, '}}')); END ;;
        DELIMITER ;
        CALL notify(1); CALL notify(2);""",
    "a trigger selects lambda_async into a variable": f"""
        CREATE TABLE t (n INT);
        DELIMITER //
        CREATE TRIGGER fires AFTER INSERT ON t FOR EACH ROW
        BEGIN SELECT lambda_async('{NAME}', JSON_OBJECT('n', NEW.n)) INTO @result; END; //
        DELIMITER ;
        INSERT INTO t VALUES (1), (2);""",
    "one statement calls for each row of a table": f"""
        CREATE TABLE t (n INT PRIMARY KEY);
        INSERT INTO t VALUES (1), (2);
        SELECT lambda_async('{NAME}', CONCAT('{{"n": ', n, '}}')) FROM t ORDER BY n;""",
    "a scheduled event calls until it is dropped": f"""
        DELIMITER //
        CREATE EVENT every_second ON SCHEDULE EVERY 1 SECOND DO
        BEGIN
          SELECT lambda_async('{NAME}', '{{"n": 1}}') INTO @first;
          SELECT lambda_async('{NAME}', '{{"n": 2}}') INTO @second;
          DROP EVENT every_second;
        END //
        DELIMITER ;""",
    "ARNs and payloads stand in double quotes": f"""
        SELECT lambda_async("{NAME}", "{{\\"n\\": 1}}");
        CALL mysql.lambda_async("{NAME}", '{{"n": 2}}');""",
}


@pytest.mark.parametrize("sql", SQL_OF_AURORA_USERS.values(), ids=SQL_OF_AURORA_USERS.keys())
def test_sql_of_aurora_users_runs_unchanged(aurora: Stack, sql: str) -> None:
    run(aurora, sql)
    expected = [{"n": 1}, {"n": 2}]
    wait_until(lambda: aurora.record.payloads("Echo") == expected, what="both events")
    assert {call["invocation_type"] for call in aurora.record.calls("Echo")} == {"Event"}


def test_json_object_keeps_what_breaks_concat(aurora: Stack) -> None:
    run_example(aurora, "ses_send_email")
    with pytest.raises(mysql.connector.Error, match="lambda_async UDF failed; payload is not JSON") as raised:
        aurora.query("""CALL SES_send_email('a@example.com', 'b@example.com', 'a "quoted" word', 'x')""")
    assert raised.value.errno == 3200
    with pytest.raises(mysql.connector.Error, match="payload is NULL"):
        aurora.query("CALL SES_send_email('a@example.com', 'b@example.com', NULL, 'x')")
    aurora.query(
        """CALL mysql.lambda_async('Echo', JSON_OBJECT('subject', 'a "quoted"\nword', 'body', NULL))"""
    )
    assert aurora.record.payloads("Echo") == [{"subject": 'a "quoted"\nword', "body": None}]
    assert aurora.record.calls("SES_send_email") == []


def test_execute_on_the_procedure_is_all_that_its_caller_needs(aurora: Stack) -> None:
    aurora.query("CREATE USER caller@localhost")
    try:
        aurora.query("GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO caller@localhost")
        with contextlib.closing(aurora.connect(user="caller", database=None)) as connection:
            execute(connection, "CALL mysql.lambda_async('Echo', '1')")
            with pytest.raises(mysql.connector.Error, match="Invoke Lambda privilege") as raised:
                execute(connection, "SELECT lambda_async('Echo', '2')")
            assert raised.value.errno == 1227
    finally:
        aurora.query("DROP USER caller@localhost")
    assert aurora.record.payloads("Echo") == [1]


def test_a_megabyte_of_utf8_passes_through_the_procedure(aurora: Stack) -> None:
    text = "🐬" * 262_143
    aurora.query("CALL mysql.lambda_async('Echo', %s)", (json.dumps(text, ensure_ascii=False),))
    assert aurora.record.payloads("Echo") == [text]
