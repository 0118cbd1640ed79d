"""SAM's template.yaml as a source of functions: what is read, what is named as not supported.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from lambda_sidecar.config.local import LocalLambdaSettings
from lambda_sidecar.local import LocalLambdaError
from lambda_sidecar.local.function import Function
from lambda_sidecar.local.sources import Functions

HEAD = "AWSTemplateFormatVersion: 2010-09-09\nTransform: AWS::Serverless-2016-10-31\n"


def project(folder: Path, text: str, *code: str, name: str = "template.yaml") -> Functions:
    """A project with that template, and with empty files of code."""
    (folder / name).write_text(HEAD + textwrap.dedent(text))
    for file in code:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return Functions(LocalLambdaSettings(functions=folder, region="eu-west-1", account_id="111122223333"))


def found(functions: Functions, name: str) -> Function:
    function = functions.find(name)
    assert function is not None
    return function


def refusal(functions: Functions, name: str) -> str:
    with pytest.raises(LocalLambdaError) as refused:
        functions.find(name)
    return str(refused.value)


def test_a_function_has_what_the_template_says_and_globals_below_it(tmp_path: Path) -> None:
    functions = project(
        tmp_path,
        """
        Globals:
          Function:
            Runtime: python3.12
            Timeout: 7
            MemorySize: 512
            Environment: {Variables: {STAGE: dev, LEVEL: info}}
        Resources:
          Orders:
            Type: AWS::Serverless::Function
            Properties:
              FunctionName: shop-orders
              CodeUri: orders/
              Handler: app.lambda_handler
              Timeout: 20
              ReservedConcurrentExecutions: 3
              Environment: {Variables: {LEVEL: debug}}
              Events: {Api: {Type: Api, Properties: {Path: /orders, Method: get}}}
          Mails:
            Type: AWS::Serverless::Function
            Properties: {CodeUri: mails, Handler: src/app.main}
          Table: {Type: AWS::DynamoDB::Table}
        """,
        "orders/app.py",
        "mails/src/app.py",
    )
    assert sorted(function.name for function in functions.check()) == ["Mails", "shop-orders"]
    orders = found(functions, "Orders")
    assert orders is found(functions, "shop-orders")
    assert (orders.folder, orders.handler) == (tmp_path / "orders", "app.lambda_handler")
    assert (orders.timeout, orders.memory_size, orders.concurrency) == (20.0, 512, 3)
    assert dict(orders.environment) == {"STAGE": "dev", "LEVEL": "debug"}
    mails = found(functions, "Mails")
    assert (mails.timeout, mails.concurrency, mails.name) == (7.0, None, "Mails")
    assert functions.find("Table") is None


def test_the_defaults_are_those_of_lambda_and_scalars_stay_as_they_are_written(tmp_path: Path) -> None:
    functions = project(
        tmp_path,
        """
        Resources:
          F:
            Type: AWS::Serverless::Function
            Properties:
              Runtime: python3.12
              Handler: app.f
              Environment:
                Variables: {ZERO: 0123, VERSION: 1.10, FLAG: true, DAY: 2012-10-17, NO: no, EMPTY: "", HEX: 0x10}
        """,
        "app.py",
    )
    function = found(functions, "F")
    assert (function.timeout, function.memory_size, function.folder) == (3.0, 128, tmp_path)
    assert dict(function.environment) == {
        "ZERO": "0123",
        "VERSION": "1.10",
        "FLAG": "true",
        "DAY": "2012-10-17",
        "NO": "no",
        "EMPTY": "",
        "HEX": "0x10",
    }


def test_short_and_long_functions_of_cloudformation_are_resolved_where_they_can_be_known(
    tmp_path: Path,
) -> None:
    functions = project(
        tmp_path,
        """
        Parameters:
          Stage: {Type: String, Default: test}
        Mappings:
          Levels: {test: {level: debug}}
        Resources:
          F:
            Type: AWS::Serverless::Function
            Properties:
              FunctionName: !Sub "${Stage}-f"
              Runtime: python3.12
              Handler: app.f
              Environment:
                Variables:
                  STAGE: !Ref Stage
                  LONG: {Ref: Stage}
                  TABLE: !Ref Table
                  REGION: !Ref AWS::Region
                  OWN: !GetAtt F.Arn
                  OTHER: !GetAtt [G, Arn]
                  QUEUE: !Sub "https://sqs.${AWS::Region}.amazonaws.com/${AWS::AccountId}/${!Raw}/${G.Arn}"
                  MIXED: !Sub ["${A}-${Stage}", {A: !Ref Table}]
                  JOINED: !Join ["-", [a, !Ref Stage]]
                  LEVEL: !FindInMap [Levels, !Ref Stage, level]
          G:
            Type: AWS::Lambda::Function
            Properties: {Runtime: python3.12, Handler: app.g, Code: .}
          Table: {Type: AWS::DynamoDB::Table, Properties: {Arn: !GetAtt [Table, StreamArn]}}
        Outputs:
          Api: {Value: !Sub "https://${Nothing}", Condition: !Equals [1, 2]}
        """,
        "app.py",
    )
    arn = "arn:aws:lambda:eu-west-1:111122223333:function:"
    assert dict(found(functions, "test-f").environment) == {
        "STAGE": "test",
        "LONG": "test",
        "TABLE": "Table",
        "REGION": "eu-west-1",
        "OWN": f"{arn}test-f",
        "OTHER": f"{arn}G",
        "QUEUE": f"https://sqs.eu-west-1.amazonaws.com/111122223333/${{Raw}}/{arn}G",
        "MIXED": "Table-test",
        "JOINED": "a-test",
        "LEVEL": "debug",
    }
    assert found(functions, "G").handler == "app.g"


def test_a_variable_that_only_aws_knows_is_left_out_and_named(tmp_path: Path) -> None:
    functions = project(
        tmp_path,
        """
        Parameters:
          Key: {Type: String}
          Secret: {Type: "AWS::SSM::Parameter::Value<String>", Default: /shop/secret}
        Resources:
          F:
            Type: AWS::Serverless::Function
            Properties:
              Runtime: python3.12
              Handler: app.f
              Layers: [!Ref Layer]
              Environment:
                Variables:
                  KEPT: yes
                  KEY: !Ref Key
                  SECRET: !Ref Secret
                  STREAM: !GetAtt Table.StreamArn
                  IMPORTED: !ImportValue other-stack
                  CHOSEN: !If [IsProduction, a, b]
                  TYPO: !Ref Tabel
          Part: {Type: AWS::Serverless::Application}
        """,
        "app.py",
    )
    (function,) = functions.check()
    assert dict(function.environment) == {"KEPT": "yes"}
    left_out = "function F: environment variable {} is left out: {}"
    where = f"{tmp_path}/template.yaml: "
    assert [sentence.removeprefix(where) for sentence in functions.unserved()] == [
        "Part is a nested stack, and its functions are not read",
        "function F: layers are not read",
        left_out.format("KEY", "parameter Key has no Default"),
        left_out.format("SECRET", "parameter Secret is kept in SSM"),
        left_out.format("STREAM", "Fn::GetAtt Table.StreamArn is not supported"),
        left_out.format("IMPORTED", "Fn::ImportValue is not supported"),
        left_out.format("CHOSEN", "Fn::If is not supported"),
        left_out.format("TYPO", "Ref Tabel refers to nothing in this file"),
    ]


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ("Runtime: java21, Handler: app.f", "runtime java21 is not run here; python…, nodejs… and provided…"),
        ("PackageType: Image, ImageUri: x", "container images are not run"),
        (
            "Runtime: python3.12, Handler: app.f, InlineCode: x",
            "InlineCode is not run; put the code into a folder",
        ),
        ("Runtime: python3.12, Handler: app.f, CodeUri: s3://bucket/key", "its code is at s3://bucket/key"),
        ("Runtime: python3.12, Handler: app.f, CodeUri: {Bucket: b, Key: k}", "its code is in S3"),
        (
            "Runtime: python3.12, Handler: app.f, CodeUri: template.yaml",
            "is the file template.yaml, and only folders",
        ),
        ("Runtime: python3.12, Handler: app.f, CodeUri: nowhere", "its folder nowhere does not exist"),
        ("Runtime: python3.12, Handler: other.f", "handler 'other.f' has no file other.py in"),
        (
            "Runtime: nodejs22.x, Handler: src/app.f",
            "handler 'src/app.f' has no file src/app.js, .mjs or .cjs in",
        ),
        (
            "Runtime: nodejs22.x, Handler: app.ts",
            "if a build makes it, build, and name the folder of the built",
        ),
        ("Runtime: provided.al2023, Handler: x", "bootstrap does not exist"),
        ("Runtime: !If [A, b, c], Handler: app.f", "Fn::If is not supported"),
        (
            "Runtime: python3.12, Handler: app.f, Timeout: 901",
            "timeout must be a whole number from 1 to 900, not '901'",
        ),
        ("Runtime: python3.12, Handler: app.f, MemorySize: x", "memory size must be a whole number"),
        (
            "Runtime: python3.12, Handler: app.f, Environment: {Variables: {AWS_REGION: x}}",
            "AWS_REGION is reserved",
        ),
    ],
)
def test_a_function_that_cannot_run_is_named_with_the_reason_and_the_others_are_served(
    tmp_path: Path, properties: str, reason: str
) -> None:
    functions = project(
        tmp_path,
        f"""
        Resources:
          Bad: {{Type: AWS::Serverless::Function, Properties: {{{properties}}}}}
          Good: {{Type: AWS::Serverless::Function, Properties: {{Runtime: python3.12, Handler: app.f}}}}
        """,
        "app.py",
    )
    assert [function.name for function in functions.check()] == ["Good"]
    (sentence,) = functions.unserved()
    assert reason in sentence
    assert reason in refusal(functions, "Bad")


def test_a_template_that_is_no_yaml_is_refused_with_the_line(tmp_path: Path) -> None:
    functions = project(tmp_path, "Resources:\n  F: [\n  G: }\n")
    assert refusal(functions, "F").startswith(f"{tmp_path}/template.yaml is not YAML: ")
    assert "line 5" in refusal(functions, "F")
    (tmp_path / "template.yaml").write_text("- a\n- b\n")
    assert refusal(functions, "F") == f"{tmp_path}/template.yaml is not a mapping of keys"
    (tmp_path / "template.yaml").write_bytes(b"\xff")
    assert "cannot be read" in refusal(functions, "F")


def test_what_a_changed_template_leaves_out_is_logged_when_it_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "Resources: {F: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: app.f%s}}}\n"
    functions = project(tmp_path, text % "", "app.py")
    assert functions.unserved() == []
    (tmp_path / "template.yaml").write_text(text % ", Layers: [x]")
    assert found(functions, "F").name == found(functions, "F").name == "F"
    assert [record.message for record in caplog.records] == [
        f"local Lambda: {tmp_path}/template.yaml: function F: layers are not read"
    ]
    (tmp_path / "template.yaml").write_text("Outputs: {}\n")
    assert functions.unserved()[0] == f"{tmp_path}/template.yaml has no function"


def test_a_changed_template_and_a_changed_file_of_code_make_another_revision(tmp_path: Path) -> None:
    text = "Resources: {F: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: app.f%s}}}\n"
    functions = project(tmp_path, text % "", "app.py")
    first = found(functions, "F")
    assert found(functions, "F") is first
    (tmp_path / "app.py").write_text("changed = True\n")
    second = found(functions, "F")
    assert second.revision != first.revision
    (tmp_path / "template.yaml").write_text(HEAD + text % ", Timeout: 9")
    third = found(functions, "F")
    assert third.revision != second.revision
    assert (second.timeout, third.timeout) == (3.0, 9.0)


def test_anchors_and_merges_work_and_a_document_that_holds_itself_is_refused(tmp_path: Path) -> None:
    functions = project(
        tmp_path,
        """
        Shared: &shared {Runtime: python3.12, Timeout: 8}
        Resources:
          F: {Type: AWS::Serverless::Function, Properties: {<<: *shared, Handler: app.f}}
        """,
        "app.py",
    )
    assert found(functions, "F").timeout == 8.0
    endless = "Resources: {F: {Type: AWS::Serverless::Function, Properties: {Handler: &a {'Fn::Sub': ['${b}', {b: *a}]}}}}\n"
    (tmp_path / "template.yaml").write_text(endless)
    assert refusal(functions, "F") == f"{tmp_path}/template.yaml refers to itself without end"


def test_without_pyyaml_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    functions = project(tmp_path, "Resources: {}\n")
    with pytest.raises(LocalLambdaError) as refused:
        functions.check()
    assert (
        str(refused.value)
        == f"{tmp_path}/template.yaml needs PyYAML to be read; run pip install 'lambda-udf[local]'"
    )


FUNCTION = "{Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: app.f%s}}"


@pytest.mark.parametrize(
    ("head", "again", "use"),
    [
        (
            "&a0 {k0: x}",
            "{{<<: [{}], k{}: x}}",
            "<<: *a9",
        ),  # merges, in each of which are ten of the last one
        ("&a0 x", "{{'Fn::Join': ['', [{}]], k{}: x}}", "a: *a9"),
        ("&a0 [x]", "[{}, x{}]", "functions: *a9"),  # whose text would be in a note
    ],
)
def test_aliases_that_make_billions_of_values_are_refused_at_once(
    tmp_path: Path, head: str, again: str, use: str
) -> None:
    lines = [f"a0: {head}"]
    lines += [f"a{n}: &a{n} {again.format(', '.join([f'*a{n - 1}'] * 10), n)}" for n in range(1, 10)]
    functions = project(tmp_path, "\n".join([*lines, use, ""]))
    file = f"{tmp_path}/template.yaml"
    assert refusal(functions, "F") == f"{file} has aliases that make more than 10 MB of it"


def test_a_template_that_is_larger_than_cloudformation_takes_is_refused(tmp_path: Path) -> None:
    functions = project(tmp_path, "# " + "x" * 1_048_576)
    assert (
        refusal(functions, "F")
        == f"{tmp_path}/template.yaml is larger than 1 MB, which is as much as CloudFormation takes"
    )


def test_a_scalar_with_a_tag_of_yaml_is_text_too_and_half_a_character_is_refused(tmp_path: Path) -> None:
    template = """
        Resources:
          ? !!int F
          : Type: AWS::Serverless::Function
            Properties:
              Runtime: python3.12
              Handler: app.f
              Environment: {Variables: {A: !!bool maybe, B: !!timestamp soon, C: !!binary "?", D: %s}}
        """
    functions = project(tmp_path, template % "!!float 1.50", "app.py")
    assert dict(found(functions, "F").environment) == {"A": "maybe", "B": "soon", "C": "?", "D": "1.50"}
    (tmp_path / "template.yaml").write_text(textwrap.dedent(template) % r'"\ud800"')
    assert refusal(functions, "F").startswith(f"{tmp_path}/template.yaml is not YAML: ")


def test_functions_of_one_name_are_refused_and_named(tmp_path: Path) -> None:
    template = f"Resources: {{A: {FUNCTION % ', FunctionName: shop'}, B: {FUNCTION % ', FunctionName: shop'}, C: {FUNCTION % ''}}}\n"
    functions = project(tmp_path, template, "app.py")
    assert [function.name for function in functions.check()] == ["C"]
    reason = "A and B have the same name, shop; give each its own"
    assert functions.unserved() == [
        f"{tmp_path}/template.yaml: function {key}: {reason}" for key in ("A", "B")
    ]
    for name in ("A", "B", "shop"):
        assert reason in refusal(functions, name)


def test_a_key_that_is_another_functions_name_counts_as_the_name(tmp_path: Path) -> None:
    template = f"Resources: {{A: {FUNCTION % ', FunctionName: B'}, B: {FUNCTION % ', FunctionName: shop'}}}\n"
    functions = project(tmp_path, template, "app.py")
    assert sorted(function.name for function in functions.check()) == ["B", "shop"]
    assert found(functions, "A") is found(functions, "B")
    assert found(functions, "shop").name == "shop"
    assert functions.unserved() == [
        f"{tmp_path}/template.yaml: function B is called by its name, shop: B is function A"
    ]


def test_what_stands_twice_or_makes_names_and_functions_that_only_aws_knows_is_named(tmp_path: Path) -> None:
    functions = project(
        tmp_path,
        f"""
        Resources:
          F: {FUNCTION % ", FunctionName: !ImportValue name"}
          G: {FUNCTION % ", FunctionName: no name"}
          Fn::ForEach::Queues: [Queue, [a, b], {{}}]
          F: {FUNCTION % ", FunctionName: !ImportValue name, Timeout: 9"}
        """,
        "app.py",
    )
    assert found(functions, "F").timeout == 9.0
    where = f"{tmp_path}/template.yaml: "
    assert [sentence.removeprefix(where) for sentence in functions.unserved()] == [
        "line 8 has the key F a second time, and only that counts",
        "Fn::ForEach::Queues is not supported, and functions in it are not read",
        "function F: FunctionName is left out: Fn::ImportValue is not supported",
        "function G: FunctionName is left out: 'no name' is no function's name",
    ]


def test_paths_that_are_none_are_named_and_the_other_functions_are_served(tmp_path: Path) -> None:
    long = "x" * 300
    functions = project(
        tmp_path,
        f"""
        Resources:
          Code: {FUNCTION % f", CodeUri: {long}"}
          Handler: {{Type: AWS::Serverless::Function, Properties: {{Runtime: python3.12, Handler: {long}.f}}}}
          Good: {FUNCTION % ""}
        """,
        "app.py",
    )
    assert [function.name for function in functions.check()] == ["Good"]
    code, handler = functions.unserved()
    assert code.endswith(f"function Code: its folder {long} cannot be read: File name too long")
    assert handler == (
        f"{tmp_path}/template.yaml: function Handler: {tmp_path}/{long}.py cannot be read: File name too long"
    )
    for path in (tmp_path / long, tmp_path / "Good" / "app.py"):
        with pytest.raises(LocalLambdaError):
            Functions(LocalLambdaSettings(functions=path)).check()


def test_of_two_templates_the_second_is_named(tmp_path: Path) -> None:
    functions = project(tmp_path, f"Resources: {{F: {FUNCTION % ''}}}\n", "app.py", "serverless.yml")
    assert functions.unserved() == [f"{tmp_path}/serverless.yml is not read: {tmp_path}/template.yaml is"]


def test_what_a_project_that_comes_later_leaves_out_is_logged_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    functions = Functions(LocalLambdaSettings(functions=tmp_path))
    assert functions.check() == []
    project(tmp_path, f"Resources: {{F: {FUNCTION % ', Layers: [x]'}}}\n", "app.py")
    assert [found(functions, "F").name for _ in range(2)] == ["F", "F"]
    assert [record.message for record in caplog.records] == [
        f"local Lambda: {tmp_path}/template.yaml: function F: layers are not read"
    ]
