"""serverless.yml as a source of functions: what is read, what is named as not supported.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from lambda_sidecar.config.local import LocalLambdaSettings
from lambda_sidecar.local import LocalLambdaError
from lambda_sidecar.local.function import Function
from lambda_sidecar.local.sources import Functions


def project(folder: Path, text: str) -> Functions:
    (folder / "serverless.yml").write_text(textwrap.dedent(text))
    (folder / "app.py").touch()
    return Functions(LocalLambdaSettings(functions=folder, region="eu-west-1", account_id="111122223333"))


def found(functions: Functions, name: str) -> Function:
    function = functions.find(name)
    assert function is not None
    return function


def test_a_function_has_what_the_file_says_and_the_provider_below_it(tmp_path: Path) -> None:
    functions = project(
        tmp_path,
        """
        service: shop
        provider:
          name: aws
          runtime: python3.12
          stage: test
          timeout: 12
          environment: {LEVEL: info, STAGE: "${sls:stage}"}
        functions:
          orders:
            handler: app.orders
            memorySize: 256
            reservedConcurrency: 2
            environment: {LEVEL: debug, ZERO: 0123}
            events: [{httpApi: "GET /orders"}]
          mails: {handler: app.mails, name: mailer, timeout: 30}
        """,
    )
    assert [function.name for function in functions.check()] == ["shop-test-orders", "mailer"]
    orders = found(functions, "orders")
    assert orders is found(functions, "shop-test-orders")
    assert (orders.folder, orders.handler, orders.timeout) == (tmp_path, "app.orders", 12.0)
    assert (orders.memory_size, orders.concurrency) == (256, 2)
    assert dict(orders.environment) == {"LEVEL": "debug", "STAGE": "test", "ZERO": "0123"}
    mails = found(functions, "mails")
    assert (mails.name, mails.timeout, mails.memory_size) == ("mailer", 30.0, 1024)


def test_the_defaults_are_the_frameworks(tmp_path: Path) -> None:
    functions = project(
        tmp_path, "service: s\nprovider: {name: aws, runtime: python3.12}\nfunctions: {f: {handler: app.f}}\n"
    )
    function = found(functions, "s-dev-f")
    assert (function.timeout, function.memory_size, function.concurrency) == (6.0, 1024, None)


def test_variables_are_resolved_where_they_can_be_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "from-the-environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.delenv("SHOP_NOTHING", raising=False)
    functions = project(
        tmp_path,
        """
        service: {name: shop}
        custom:
          timeouts: {dev: 11, live: 60}
          table: "${self:service.name}-orders-${self:provider.stage}"
        provider:
          name: aws
          runtime: python3.12
          stage: ${opt:stage, 'dev'}
        functions:
          f:
            handler: app.f
            name: ${self:service.name}-${sls:stage}-named
            timeout: ${self:custom.timeouts.${self:provider.stage}}
            environment:
              TABLE: ${self:custom.table}
              KEY: ${env:SHOP_KEY}
              FALLBACK: ${env:SHOP_NOTHING, "none"}
              CREDENTIALS: ${env:AWS_SECRET_ACCESS_KEY, 'kept back'}
              QUEUE: https://sqs.${aws:region}.amazonaws.com/${aws:accountId}/${AWS::Region}
              REFERENCE: !Ref Table
              LONG: {Ref: Table}
        resources:
          Resources: {Table: {Type: AWS::DynamoDB::Table}}
        """,
    )
    function = found(functions, "shop-dev-named")
    assert function.timeout == 11.0
    assert dict(function.environment) == {
        "TABLE": "shop-orders-dev",
        "KEY": "from-the-environment",
        "FALLBACK": "none",
        "CREDENTIALS": "kept back",
        "QUEUE": "https://sqs.eu-west-1.amazonaws.com/111122223333/eu-west-1",
        "REFERENCE": "Table",
        "LONG": "Table",
    }


def test_what_cannot_be_known_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    functions = project(
        tmp_path,
        """
        service: s
        provider: {name: aws, runtime: python3.12, layers: [x]}
        functions:
          - f:
              handler: app.f
              environment: {KEPT: a, SECRET: "${ssm:/s/secret}", FILE: "${file(x.yml):a}", LOOP: "${self:custom.loop}"}
          - ${file(more.yml)}
        custom: {loop: "${self:custom.loop}"}
        """,
    )
    (function,) = functions.check()
    assert dict(function.environment) == {"KEPT": "a"}
    assert [sentence.partition("serverless.yml: ")[2] for sentence in functions.unserved()] == [
        "functions: ${file(more.yml)} is not read; only functions in this file are",
        "function f: layers are not read",
        "function f: environment variable SECRET is left out: ${ssm:/s/secret} cannot be known here",
        "function f: environment variable FILE is left out: ${file(x.yml):a} cannot be known here",
        "function f: environment variable LOOP is left out: a variable refers to itself",
    ]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("image: x", "container images are not run"),
        ("handler: app.f, package: {artifact: f.zip}", "its package is an artifact"),
        ("handler: app.f, runtime: ruby3.3", "runtime ruby3.3 is not run here"),
        ("handler: src/app.f, runtime: nodejs20.x", "has no file src/app.js, .mjs or .cjs in"),
        ("handler: '${file(a.yml):b}'", "${file(a.yml):b} cannot be known here"),
        ("handler: app.f, timeout: ten", "the timeout must be a whole number from 1 to 900, not 'ten'"),
    ],
)
def test_a_function_that_cannot_run_is_named_with_the_reason(
    tmp_path: Path, settings: str, reason: str
) -> None:
    functions = project(
        tmp_path,
        f"service: s\nprovider: {{name: aws, runtime: python3.12}}\nfunctions: {{f: {{{settings}}}}}\n",
    )
    with pytest.raises(LocalLambdaError) as refused:
        functions.find("f")
    assert f"{tmp_path}/serverless.yml: function f: " in str(refused.value)
    assert reason in str(refused.value)


def test_another_provider_is_not_run(tmp_path: Path) -> None:
    functions = project(tmp_path, "service: s\nprovider: {name: google}\nfunctions: {f: {handler: app.f}}\n")
    with pytest.raises(LocalLambdaError, match="only functions of the provider aws are run"):
        functions.find("f")


def test_functions_of_one_name_are_refused_and_named(tmp_path: Path) -> None:
    """They are in one folder, and so one's worker would answer for the other."""
    functions = project(
        tmp_path,
        "service: s\nprovider: {name: aws, runtime: python3.12}\n"
        "functions: {f: {handler: app.f, name: same}, g: {handler: app.g, name: same}}\n",
    )
    assert functions.check() == []
    for name in ("f", "g", "same"):
        with pytest.raises(LocalLambdaError, match="f and g have the same name, same; give each its own"):
            functions.find(name)


def test_a_variable_that_grows_without_end_is_named(tmp_path: Path) -> None:
    functions = project(
        tmp_path,
        """
        service: s
        provider: {name: aws, runtime: python3.12}
        functions: {f: {handler: app.f, environment: {GROWS: "${self:custom.grows}"}}}
        custom: {grows: "%s${self:custom.grows}"}
        """
        % ("x" * 1000),
    )
    assert functions.unserved() == [
        f"{tmp_path}/serverless.yml: function f: environment variable GROWS is left out: its text is too long"
    ]
