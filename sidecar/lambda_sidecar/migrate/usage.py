"""Finds the uses of Lambda and of Aurora's own in the text of a routine, trigger, event or view.

Pure: text in, facts out; must not know accounts, grants or servers."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from lambda_sidecar.migrate.tokens import Kind, Token, tokens

FUNCTIONS = frozenset({"lambda_sync", "lambda_async"})
PROCEDURE = ("mysql", "lambda_async")
_IN_A_STRING = re.compile(r"\blambda_a?sync\s*\(", re.IGNORECASE)
# Aurora User Guide: "Using Aurora machine learning", "Aurora MySQL stored procedure reference".
_AURORA_FUNCTION = re.compile(r"aws_(?:comprehend|sagemaker|bedrock)_\w+", re.IGNORECASE)
_AURORA_PROCEDURE = re.compile(r"rds_\w+", re.IGNORECASE)
_AURORA_ERROR = "1873"

# (schema or None, name), in lower case
Reference = tuple[str | None, str]


@dataclass(frozen=True)
class Usage:
    """functions      those of lambda_sync and lambda_async that it calls
    procedure      whether it calls mysql.lambda_async
    prepared       whether the functions' names stand in strings of a text that has PREPARE
    sets_role      whether SET ROLE ALL, or of AWS_LAMBDA_ACCESS, is in it
    calls          every name in it that is called as a routine is
    mentions       every name in it, that of a view perhaps
    edits          one sentence for each part of the text that has to be written otherwise here"""

    functions: frozenset[str] = frozenset()
    procedure: bool = False
    prepared: bool = False
    sets_role: bool = False
    calls: frozenset[Reference] = frozenset()
    mentions: frozenset[Reference] = frozenset()
    edits: tuple[str, ...] = ()

    @property
    def invokes(self) -> bool:
        """Whether the account in force needs INVOKE_LAMBDA."""
        return bool(self.functions) or self.prepared


def read_usage(text: str, sql_mode: Collection[str] = ()) -> Usage:
    found = tokens(text, sql_mode)
    references = _references(found)
    functions = {name for (schema, name), called in references if called and schema is None}
    procedure = any(reference == PROCEDURE and called for reference, called in references)
    has_prepare = any(token.says("PREPARE") for token in found)
    return Usage(
        functions=frozenset(functions & FUNCTIONS),
        procedure=procedure,
        prepared=has_prepare and any(_names_lambda(token) for token in found),
        sets_role=_sets_role(found),
        calls=frozenset(reference for reference, called in references if called),
        mentions=frozenset(reference for reference, _ in references),
        edits=tuple(dict.fromkeys(_edits(found, references))),
    )


def _references(found: list[Token]) -> list[tuple[Reference, bool]]:
    """Each name with the schema before it, and whether a parenthesis or CALL makes it a call."""
    references: list[tuple[Reference, bool]] = []
    for place, token in enumerate(found):
        if not token.is_identifier or _is(found, place - 1, "@"):
            continue
        schema, before = None, place - 1
        if _is(found, place - 1, ".") and place >= 2 and found[place - 2].is_identifier:
            schema, before = found[place - 2].text.lower(), place - 3
        is_procedure = _is(found, before, "CALL")
        called = is_procedure or _is(found, place + 1, "(")
        if is_procedure and schema is None and token.text.lower() in FUNCTIONS:
            schema = ""  # a procedure of that name in the object's own schema: not ours
        references.append(((schema, token.text.lower()), called))
    return references


def _is(found: list[Token], place: int, *words: str) -> bool:
    return 0 <= place < len(found) and found[place].says(*words)


def _names_lambda(token: Token) -> bool:
    return token.kind is Kind.STRING and _IN_A_STRING.search(token.text) is not None


def _sets_role(found: list[Token]) -> bool:
    for place in range(len(found) - 2):
        if _is(found, place, "SET") and _is(found, place + 1, "ROLE"):
            role = found[place + 2].text.upper()
            if role in ("ALL", "AWS_LAMBDA_ACCESS"):
                return True
    return False


def _edits(found: list[Token], references: list[tuple[Reference, bool]]) -> list[str]:
    edits = []
    if any(token.kind is Kind.NUMBER and token.text == _AURORA_ERROR for token in found):
        edits.append("error 1873 is Aurora's number for a failed call; here it is 3200")
    if _has(found, ("GRANT", "REVOKE"), ("INVOKE",), ("LAMBDA",)):
        edits.append("the privilege INVOKE LAMBDA is INVOKE_LAMBDA here")
    for (schema, name), called in references:
        if called and schema is None and _AURORA_FUNCTION.fullmatch(name):
            edits.append(f"{name}() is Aurora's; stock MySQL has no such function")
        if called and schema == "mysql" and _AURORA_PROCEDURE.fullmatch(name):
            edits.append(f"mysql.{name} is a procedure of Amazon RDS; stock MySQL has none of that name")
    if _has(found, ("DATA", "XML"), ("FROM",), ("S3",)):
        edits.append(
            "LOAD … FROM S3 is Aurora's; copy the file and use LOAD DATA INFILE, or a Lambda function"
        )
    if _has(found, ("OUTFILE",), ("S3",)):
        edits.append("INTO OUTFILE S3 is Aurora's; write a file with INTO OUTFILE, or use a Lambda function")
    return edits


def _has(found: list[Token], *sequence: tuple[str, ...]) -> bool:
    return any(
        all(_is(found, place + step, *words) for step, words in enumerate(sequence))
        for place in range(len(found) - len(sequence) + 1)
    )
