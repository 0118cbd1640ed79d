"""Functions in other languages and of others' projects, called in SQL: Node.js, SAM, the Serverless Framework.

Each test's name is the sentence that it proves. Those in Node.js are left out where node or npm's registry is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mysql.connector.errors import Error
from tests.support.checkout import ROOT
from tests.support.lambda_ric import link_node_modules
from tests.support.stack import Library, Stack, start_stack


@pytest.fixture(scope="module")
def running(mysql_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Path]]:
    """A stack, and its folder of functions, which is looked at anew for each call."""
    directory = tmp_path_factory.mktemp("languages")
    functions = directory / "project" / "functions"
    functions.mkdir(parents=True)
    with start_stack(mysql_home, directory, Library.PLAIN, functions=functions) as stack:
        stack.create_database()
        yield stack, functions


@pytest.fixture
def stack(running: tuple[Stack, Path]) -> Stack:
    return running[0]


@pytest.fixture
def functions(running: tuple[Stack, Path]) -> Path:
    """Empty."""
    shutil.rmtree(running[1])
    running[1].mkdir()
    return running[1]


@pytest.fixture
def node_modules(functions: Path) -> None:
    """Beside the functions, as npm puts it there."""
    if not (functions.parent / "node_modules").exists():
        link_node_modules(functions.parent)


@pytest.mark.usefixtures("node_modules")
def test_functions_in_nodejs_answer_and_what_they_throw_fails_the_statement(
    stack: Stack, functions: Path
) -> None:
    shutil.copytree(ROOT / "examples/nodejs", functions, dirs_exist_ok=True)
    answer = json.loads(stack.value("SELECT lambda_sync('Greet', JSON_OBJECT('name', 'Zoë 🐬'))"))
    assert answer["greeting"] == "Hello, Zoë 🐬"
    order = """JSON_OBJECT('items', JSON_ARRAY(JSON_OBJECT('price', 2.5, 'quantity', 4)))"""
    assert stack.value(f"SELECT lambda_sync('Total', {order})") == "10"
    with pytest.raises(Error, match="Lambda function error: Unhandled: RangeError: an order without items"):
        stack.value("SELECT lambda_sync('Total', '{}')")


def test_the_python_function_of_a_sam_project_answers(stack: Stack, functions: Path) -> None:
    shutil.copytree(ROOT / "examples/sam", functions, dirs_exist_ok=True)
    statement = "SELECT lambda_sync('Discount', JSON_OBJECT('customer', '{}'))"
    assert json.loads(stack.value(statement.format("Ada"))) == {"percent": 10}
    assert json.loads(stack.value(statement.format("Eve"))) == {"percent": 0}
    template = functions / "template.yaml"
    template.write_text(template.read_text().replace("Ada,Grace", "Eve"))
    assert json.loads(stack.value(statement.format("Eve"))) == {"percent": 10}


@pytest.mark.usefixtures("node_modules")
def test_the_nodejs_function_of_a_sam_project_answers_by_its_key_and_by_its_name(
    stack: Stack, functions: Path
) -> None:
    shutil.copytree(ROOT / "examples/sam", functions, dirs_exist_ok=True)
    order = """JSON_OBJECT('items', JSON_ARRAY(JSON_OBJECT('price', 3, 'quantity', 7)))"""
    for name in ("Total", "local-total", "arn:aws:lambda:us-east-1:123456789012:function:local-total"):
        assert json.loads(stack.value(f"SELECT lambda_sync('{name}', {order})")) == {"total": 21}


@pytest.mark.usefixtures("node_modules")
def test_functions_of_a_serverless_yml_answer(stack: Stack, functions: Path) -> None:
    (functions / "src").mkdir()
    (functions / "src/shop.js").write_text(
        "exports.greet = async ({ who }) => `${process.env.GREETING}, ${who}`;\n"
    )
    (functions / "serverless.yml").write_text(
        "service: shop\n"
        "provider: {name: aws, runtime: nodejs22.x, stage: \"${opt:stage, 'dev'}\"}\n"
        'functions: {greet: {handler: src/shop.greet, environment: {GREETING: "Hello from ${sls:stage}"}}}\n'
    )
    for name in ("greet", "shop-dev-greet"):
        assert stack.value(f"SELECT lambda_sync('{name}', '{{\"who\": \"Ada\"}}')") == '"Hello from dev, Ada"'


def test_a_function_that_cannot_run_here_says_why_in_sql(stack: Stack, functions: Path) -> None:
    (functions / "template.yaml").write_text(
        "Resources: {F: {Type: AWS::Serverless::Function, Properties: {Runtime: java21, Handler: a.B::c}}}\n"
    )
    with pytest.raises(Error, match=r"InvalidRuntimeException: .*function F: runtime java21 is not run here"):
        stack.value("SELECT lambda_sync('F', '1')")
