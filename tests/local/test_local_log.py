"""What the log says of functions: what they print, how their events fail, and which folders are none."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tests.local.local_support import PID, WAIT_FOR_FILE, running, write_function
from tests.support.waiting import until

from lambda_sidecar.local.invocation import error_text
from lambda_sidecar.local.output import Output


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="lambda_sidecar.local")


async def test_what_a_function_prints_is_in_the_log_while_it_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = "import sys\nprint('loaded')\n" + WAIT_FOR_FILE.replace(
        "    def lambda_handler(event, context):",
        "    def lambda_handler(event, context):\n        print('got', event['n'])\n"
        "        print('two\\nlines', file=sys.stderr)\n        print('no end', end='')",
    ).replace("\n    ", "\n")
    write_function(tmp_path, "Prints", code, "timeout = 60")
    go = tmp_path / "go"
    async with running(tmp_path) as local:
        await local.invoke("Prints", {"n": 7, "go": str(go)}, InvocationType="Event")
        await until(lambda: "Prints: lines" in lines(caplog))
        assert "Prints: no end" not in lines(caplog)
        go.touch()
        await until(lambda: "Prints: no end" in lines(caplog))
    printed = [line for line in lines(caplog) if line.startswith("Prints: ")]
    assert printed == [f"Prints: {text}" for text in ("loaded", "got 7", "two", "lines", "no end")]


async def test_the_traceback_of_a_handler_and_of_an_import_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_function(
        tmp_path, "Raises", "def lambda_handler(event, context):\n    raise ValueError('too bad')\n"
    )
    write_function(tmp_path, "Import", "import no_such_module\n")
    async with running(tmp_path) as local:
        await local.invoke("Raises")
        await local.invoke("Import")
    text = "\n".join(lines(caplog))
    assert "Raises: [ERROR] ValueError: too bad" in text
    assert "Raises:     raise ValueError('too bad')" in text
    assert "Import: [ERROR] Runtime.ImportModuleError: " in text


async def test_a_failed_event_is_a_warning_with_its_error_and_what_comes_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_function(tmp_path, "F", "def lambda_handler(event, context):\n    raise ValueError('too bad')\n")
    async with running(tmp_path, event_retry_seconds=(0.01,)) as local:
        answer = await local.invoke("F", "the payload", InvocationType="Event")
        await until(lambda: len(lines(caplog, logging.WARNING)) == 2)
    begin, end = (
        "local Lambda: an event for F has failed, attempt ",
        f" (RequestId: {answer.request_id}): ValueError: too bad",
    )
    assert lines(caplog, logging.WARNING) == [
        f"{begin}1 of 2, the next in 0.01 s{end}",
        f"{begin}2 of 2, the last{end}",
    ]
    assert "the payload" not in caplog.text


async def test_an_event_whose_function_is_gone_and_one_that_is_forgotten_are_warnings(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_function(tmp_path, "F", "def lambda_handler(event, context):\n    raise ValueError\n")
    async with running(tmp_path, event_retry_seconds=(0.3, 60.0)) as local:
        await local.invoke("F", InvocationType="Event")
        await until(lambda: len(lines(caplog, logging.WARNING)) == 1)
        (folder / "lambda_function.py").unlink()
        await until(lambda: len(lines(caplog, logging.WARNING)) == 2)
    _, gone, forgotten = lines(caplog, logging.WARNING)
    assert "attempt 2 of 3, the next in 60 s" in gone
    assert gone.endswith("the function is not there any more")
    assert forgotten == "local Lambda: accepted events that are forgotten: 1"


MARKS = "lambda_function.py, index.js, index.mjs, bootstrap or function.toml"


async def test_a_folder_that_is_not_served_is_a_warning_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_function(tmp_path, "F", PID)
    for name in ("docs", "mine", "mine-too", "no function name", ".git", "__pycache__", "node_modules"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine" / "app.py").touch()
    (tmp_path / "mine-too" / "api.js").touch()
    async with running(tmp_path):
        pass
    assert lines(caplog, logging.WARNING) == [
        f"local Lambda: {tmp_path}/docs is not served: it has no {MARKS}",
        f"local Lambda: {tmp_path}/mine is not served: for another handler than lambda_function.lambda_handler,"
        ' it needs a function.toml with handler = "app.lambda_handler"',
        f"local Lambda: {tmp_path}/mine-too is not served: for another handler than index.handler,"
        ' it needs a function.toml with handler = "api.handler"',
        f"local Lambda: {tmp_path}/no function name is not served: its name can be no function's"
        " (at most 64 letters, digits, dots, hyphens and underscores, no dot first)",
    ]


async def test_a_call_of_a_function_that_is_not_there_is_a_warning_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also of what was copied in after the start, which has warned of nothing then."""
    write_function(tmp_path, "F", PID)
    async with running(tmp_path) as local:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "app.py").touch()
        for name in ("mine", "f"):
            assert (await local.error(name))["Code"] == "ResourceNotFoundException"
        (tmp_path / "template.yaml").write_text(
            "Resources: {G: {Type: AWS::Serverless::Function, Properties: {FunctionName: shop}}}\n"
        )
        assert (await local.error("F"))["Code"] == "ResourceNotFoundException"
    assert lines(caplog, logging.WARNING) == [
        f"local Lambda: {tmp_path}/mine is no function: for another handler than lambda_function.lambda_handler,"
        ' it needs a function.toml with handler = "app.lambda_handler"',
        f"local Lambda: there is no folder {tmp_path}/f",
        f"local Lambda: {tmp_path}/template.yaml has no function F, only G, shop",
    ]


async def test_a_folder_of_functions_without_any_is_a_warning_and_so_is_one_that_is_a_function_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path):
        pass
    folder = write_function(tmp_path, "F", PID)
    async with running(folder):
        pass
    assert lines(caplog, logging.WARNING) == [
        f"local Lambda: {tmp_path} has no function: each is a folder in it, with {MARKS}",
        f"local Lambda: {folder} is itself a function: name the folder that holds it",
    ]


def test_output_without_end_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    output = Output("F")
    output.write(b"a\n" * 600 + b"x" * 20_000)
    output.write(b"b\xff\r\n\n")
    output.write(b"\n" * 20 + b"c")
    output.flush()
    output.flush()
    short = [line for line in lines(caplog) if len(line) < 100]
    assert short == ["F: a"] * 500 + ["F: 100 more lines at once", "F: b\ufffd", "F: c"]
    assert [len(line) for line in lines(caplog) if len(line) >= 100] == [len("F: ") + 8 * 1024 + len(" …")]


@pytest.mark.parametrize("document", [b"", b"\xff", b"[]", b'"x"', b'{"errorType": "E"}', b"[" * 100_000])
def test_an_error_document_may_be_anything(document: bytes) -> None:
    assert error_text(document) == "an error without a type"
    assert error_text(json.dumps({"errorType": "E", "errorMessage": "x" * 999}).encode()) == "E: " + "x" * 497
