"""Workers: how functions fail, what a worker sees, what happens when it misbehaves or its code changes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.local.local_support import PID, alive, running, write_function
from tests.support.waiting import until

from lambda_sidecar.local.inventory import LOOK_AT

BOOTSTRAP = Path(__file__).with_name("local_bootstrap.py")


def write_bootstrap(functions: Path) -> None:
    (functions / "Custom").mkdir()
    shutil.copy(BOOTSTRAP, functions / "Custom" / "bootstrap")
    (functions / "Custom" / "function.toml").write_text('timeout = 5\nhandler = "mine"\n')


async def test_a_function_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    code = """
        import pathlib, subprocess, time
        def lambda_handler(event, context):
            child = subprocess.Popen(["sleep", "60"])
            pathlib.Path(event).write_text(str(child.pid))
            print("about to hang")
            time.sleep(60)
    """
    write_function(tmp_path, "F", code, "timeout = 0.5")
    async with running(tmp_path) as local:
        got = await local.invoke("F", str(tmp_path / "child"), LogType="Tail")
        assert got.error == "Unhandled"
        assert got.value == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {got.request_id} Error: Task timed out after 0.50 seconds",
        }
        assert got.log is not None
        assert "about to hang" in got.log
        assert f"{got.request_id} Task timed out after 0.50 seconds" in got.log
        assert "Status: timeout" in got.log
        assert (await local.record())[0]["outcome"] == "error"
        child = int((tmp_path / "child").read_text())
        await until(lambda: not alive(child))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("os._exit(1)", "Runtime exited with error: exit status 1"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed"),
        ("os.kill(os.getpid(), 11)", "Runtime exited with error: signal: segmentation fault"),
    ],
)
async def test_a_worker_that_exits_is_an_exit_error_and_the_next_call_works(
    tmp_path: Path, code: str, text: str
) -> None:
    write_function(
        tmp_path, "F", f"import os\ndef lambda_handler(event, context):\n    if event: {code}\n    return 1\n"
    )
    async with running(tmp_path) as local:
        got = await local.invoke("F", {"exit": True}, LogType="Tail")
        assert (got.status, got.error) == (200, "Unhandled")
        assert got.value == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {got.request_id} Error: {text}",
        }
        assert got.log is not None
        assert text in got.log
        assert (await local.invoke("F")).value == 1


async def test_a_worker_that_dies_right_after_its_answer_spoils_neither_this_call_nor_the_next(
    tmp_path: Path,
) -> None:
    code = """
        import os, threading
        import awslambdaric.bootstrap as bootstrap
        def lambda_handler(event, context):
            def die(*args, **kwargs):
                os._exit(3)
            import awslambdaric.lambda_runtime_client as client
            client.runtime_client = type("Dying", (), {
                "post_invocation_result": staticmethod(client.runtime_client.post_invocation_result),
                "next": staticmethod(die)})
            return os.getpid()
    """
    write_function(tmp_path, "F", code)
    async with running(tmp_path) as local:
        pids = [(await local.invoke("F")).value for _ in range(5)]
        assert len(set(pids)) == 5


async def test_a_failing_import_is_reported_from_the_init_phase(tmp_path: Path) -> None:
    write_function(tmp_path, "Import", "print('importing')\nimport no_such_module")
    write_function(tmp_path, "Exit", "import sys\nsys.exit(4)")
    write_function(tmp_path, "Handler", "x = 1")
    async with running(tmp_path) as local:
        got = await local.invoke("Import", LogType="Tail")
        assert (got.error, got.value["errorType"]) == ("Unhandled", "Runtime.ImportModuleError")
        assert "no_such_module" in got.value["errorMessage"]
        assert got.log is not None
        assert "importing" in got.log
        got = await local.invoke("Exit")
        assert got.value["errorType"] == "Runtime.ExitError"
        assert got.value["errorMessage"].endswith("Runtime exited with error: exit status 4")
        assert (await local.invoke("Handler")).value["errorType"] == "Runtime.HandlerNotFound"


async def test_the_init_phase_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambda_sidecar.local.worker.INIT_MAX_SECONDS", 0.3)
    write_function(tmp_path, "F", "import time\ntime.sleep(60)")
    async with running(tmp_path) as local:
        got = await local.invoke("F")
        assert got.value["errorType"] == "Sandbox.Timedout"
        assert got.value["errorMessage"].endswith("Task timed out after 0.30 seconds")


async def test_a_worker_inherits_nothing_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "CANARY"):
        monkeypatch.setenv(name, "canary")
    monkeypatch.setenv("MYSQL_PWD", "canary")
    code = """
        import os
        def lambda_handler(event, context):
            leader = os.getsid(0) == os.getpid()
            return {"environment": dict(os.environ), "cwd": os.getcwd(), "session": leader}
    """
    settings = 'memory_size = 256\n[environment]\nTABLE = "customers"\nLANG = "C"\n'
    folder = write_function(tmp_path, "F", code, settings)
    async with running(tmp_path, region="eu-west-1") as local:
        got = (await local.invoke("F")).value
        environment = got["environment"]
        assert "canary" not in str(environment)
        assert (got["cwd"], got["session"]) == (str(folder), True)
        assert environment["TABLE"] == "customers"
        assert environment["LANG"] == "C"
        chosen = ("AWS_LAMBDA_FUNC", "AWS_R")
        assert environment["HOME"] not in (os.environ.get("HOME"), "/")
        assert {name: environment[name] for name in environment if name.startswith(chosen)} == {
            "AWS_LAMBDA_FUNCTION_NAME": "F",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
            "AWS_REGION": "eu-west-1",
        }
        assert environment["_HANDLER"] == "lambda_function.lambda_handler"
        assert environment["LAMBDA_TASK_ROOT"] == str(folder)
        arn = "arn:aws:lambda:ap-south-1:123456789012:function:F"
        elsewhere = (await local.invoke(arn)).value["environment"]
        assert elsewhere["AWS_REGION"] == elsewhere["AWS_DEFAULT_REGION"] == "ap-south-1"
    assert not (folder / "__pycache__").exists()


async def test_a_chatty_worker_costs_no_memory_and_its_last_words_are_kept(tmp_path: Path) -> None:
    code = """
        import os, sys
        def lambda_handler(event, context):
            for _ in range(500):
                os.write(1, b"x" * 100_000)   # 50 MB and no line end
            print("\\nlast words")
            return "done"
    """
    write_function(tmp_path, "F", code, "timeout = 30")
    async with running(tmp_path) as local:
        got = await local.invoke("F", LogType="Tail")
        assert got.value == "done"
        assert got.log is not None
        assert len(got.log.encode()) == 4096
        assert "\nlast words\nEND RequestId: " in got.log


async def test_any_executable_bootstrap_is_a_runtime(tmp_path: Path) -> None:
    write_bootstrap(tmp_path)
    async with running(tmp_path) as local:
        got = (await local.invoke("Custom", {})).value
        assert got["handler"] == "mine"
        assert got["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:Custom"
        assert 4 < got["deadline"] <= 5
        assert got["trace"].startswith("Root=1-")
        got_error = await local.invoke("Custom", {"misbehave": "error without document"})
        assert got_error.error == "Unhandled"
        assert got_error.value == {"errorType": "Custom.Failure", "errorMessage": ""}


@pytest.mark.parametrize(
    ("how", "statuses"),
    [
        ("wrong id", [400, 400]),
        ("next without answer", [403]),
        ("huge header", [400]),
        ("no such operation", [404, 403]),
        ("web page", [403]),
        ("foreign host", [403]),
    ],
)
async def test_a_runtime_that_misbehaves_is_refused_and_can_still_answer(
    tmp_path: Path, how: str, statuses: list[int]
) -> None:
    write_bootstrap(tmp_path)
    async with running(tmp_path) as local:
        for _ in range(2):
            assert (await local.invoke("Custom", {"misbehave": how})).value["statuses"] == statuses


async def test_edited_code_runs_at_the_next_call_and_new_folders_are_found(tmp_path: Path) -> None:
    write_function(tmp_path, "F", PID)
    async with running(tmp_path) as local:
        first = (await local.invoke("F")).value
        assert (await local.invoke("F")).value == first
        folder = write_function(tmp_path, "F", "def lambda_handler(event, context):\n    return 'edited'\n")
        assert (await local.invoke("F")).value == "edited"
        await until(lambda: not alive(first))
        (folder / "function.toml").write_text('handler = "other.run"')
        (folder / "other.py").write_text("def run(event, context):\n    return 'other'\n")
        assert (await local.invoke("F")).value == "other"
        write_function(tmp_path, "New", PID)
        assert alive((await local.invoke("New")).value)
        shutil.rmtree(tmp_path / "New")
        assert (await local.error("New"))["Code"] == "ResourceNotFoundException"


async def test_an_edit_is_seen_however_many_files_a_function_vendors(tmp_path: Path) -> None:
    folder = write_function(tmp_path, "F", "def lambda_handler(event, context):\n    return 'first'\n")
    vendored = (
        folder / "boto3" / "data"
    )  # before lambda_function.py in the alphabet, and below it in the tree
    vendored.mkdir(parents=True)
    for number in range(2 * LOOK_AT + 500):
        (vendored / f"{number:05}.json").write_text("{}")
    code = "import pathlib\nHERE = pathlib.Path(__file__).parent / 'boto3/data/%s.json'\n"
    code += "def lambda_handler(event, context, text=HERE.read_text()):\n    return text\n"
    async with running(tmp_path) as local:
        assert (await local.invoke("F")).value == "first"
        write_function(tmp_path, "F", code % f"{2 * LOOK_AT + 499:05}")
        assert (await local.invoke("F")).value == "{}"
        (vendored / f"{2 * LOOK_AT + 499:05}.json").write_text("edited, and longer")

        async def is_seen() -> bool:
            return bool((await local.invoke("F")).value == "edited, and longer")

        await until(is_seen)


async def test_a_function_toml_that_breaks_later_fails_that_functions_invocations(tmp_path: Path) -> None:
    folder = write_function(tmp_path, "F", PID)
    write_function(tmp_path, "G", PID)
    async with running(tmp_path) as local:
        (folder / "function.toml").write_text("timeout = 'long'")
        error = await local.error("F")
        assert (error["status"], error["class"]) == (502, "InvalidRuntimeException")
        assert f"{folder}/function.toml: timeout must be a number" in error["Message"]
        assert (await local.invoke("G")).error is None


async def test_an_idle_worker_is_stopped_and_its_folder_removed(tmp_path: Path) -> None:
    code = """
        import os, pathlib
        def lambda_handler(event, context):
            pathlib.Path(os.environ["TMPDIR"], "left").mkdir(exist_ok=True)
            return [os.getpid(), os.environ["TMPDIR"]]
    """
    write_function(tmp_path, "F", code)
    async with running(tmp_path, idle_seconds=0.1) as local:
        pid, folder = (await local.invoke("F")).value
        await until(lambda: not alive(pid))
        await until(lambda: not Path(folder).exists())
        assert (await local.invoke("F")).value[0] != pid
