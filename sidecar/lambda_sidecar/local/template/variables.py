"""The Serverless Framework's variables: ${self:…}, ${opt:…}, ${sls:stage}, ${env:…}, ${aws:…}, and fallbacks.

Knows the file only as a document to look into; nothing of functions. Source: "Variables" in the framework's
guide."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from lambda_sidecar.local.template.declared import NotSupported, Surroundings

_INNERMOST = re.compile(r"\$\{([^${}]*)\}")
_MOST_STEPS = 1_000  # a variable that refers to itself ends there
_LONGEST = 65_536  # and one that grows with each step there; all variables of a function are 4 KB in AWS


class Variables:
    """The variables of one serverless.yml."""

    def __init__(self, document: Mapping[str, Any], surroundings: Surroundings) -> None:
        self._document = document
        self._surroundings = surroundings

    def resolve(self, value: Any) -> Any:
        """A value with its variables replaced, those of a text only. Raises NotSupported for one that cannot
        be known here and has no fallback."""
        for _ in range(_MOST_STEPS):
            found = _INNERMOST.search(value) if isinstance(value, str) else None
            if found is None:
                return value
            replaced = self._value(found[1])
            if found[0] == value:
                value = replaced
            elif isinstance(replaced, str):
                value = value[: found.start()] + replaced + value[found.end() :]
                if len(value) > _LONGEST:
                    raise NotSupported("its text is too long")
            else:
                raise NotSupported(f"{found[0]} is no text")
        raise NotSupported("a variable refers to itself")

    @property
    def stage(self) -> str:
        """The provider's stage, `dev` without one."""
        stage = self.resolve(_at(self._document, "provider.stage") or "dev")
        return stage if isinstance(stage, str) else "dev"

    def _value(self, expression: str) -> Any:
        for alternative in expression.split(","):
            found = self._source(alternative.strip())
            if found is not None:
                return found
        raise NotSupported("${" + expression + "} cannot be known here")

    def _source(self, text: str) -> Any:
        """None where it gives nothing, so that the next alternative counts."""
        if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
            return text[1:-1]
        source, colon, address = text.partition(":")
        if not colon:
            return text if re.fullmatch(r"-?\d+(\.\d+)?|true|false", text) else None
        if address.startswith(":"):  # ${AWS::Region}, which the framework leaves to CloudFormation
            address = {":Region": "region", ":AccountId": "accountId"}.get(address, "")
        match source.lower():
            case "self":
                return _at(self._document, address)
            case "sls" if address == "stage":
                return self.stage
            case "env" if not address.startswith("AWS_"):
                return os.environ.get(address)
            case "aws":
                known = {"region": self._surroundings.region, "accountId": self._surroundings.account_id}
                return known.get(address)
        return None  # opt: there is no command line; file, ssm, cf, s3, param: not read


def _at(document: Any, path: str) -> Any:
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document
