"""CloudFormation's functions, as far as they can be known without AWS: Ref, Sub, GetAtt of a function's ARN,
Join and FindInMap.

Knows the sections of a template that they refer to; not what the values are for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lambda_sidecar.local.template.declared import NotSupported, Surroundings

_FUNCTION_TYPES = ("AWS::Serverless::Function", "AWS::Lambda::Function")


class Intrinsics:
    """Values of one template. function_names: what functions are called, by their keys in the template."""

    def __init__(
        self,
        template: Mapping[str, Any],
        surroundings: Surroundings,
        function_names: Mapping[str, str] | None = None,
    ) -> None:
        self._parameters = mapping(template.get("Parameters"))
        self._mappings = mapping(template.get("Mappings"))
        self._resources = mapping(template.get("Resources"))
        self._surroundings = surroundings
        self._function_names = function_names or {}
        self._functions: dict[str, Callable[[Any], str]] = {
            "Ref": self._ref,
            "Fn::Sub": self._sub,
            "Fn::GetAtt": self._get_att,
            "Fn::Join": self._join,
            "Fn::FindInMap": self._find_in_map,
        }

    def text(self, value: Any) -> str:
        """A value as text. Raises NotSupported, with the function that cannot be known."""
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and len(value) == 1:
            ((name, argument),) = value.items()
            if name in self._functions:
                return self._functions[name](argument)
            raise NotSupported(f"{name} is not supported")
        raise NotSupported("a text is expected")

    def _ref(self, name: Any) -> str:
        if not isinstance(name, str):
            raise NotSupported("Ref without a name is not supported")
        if (pseudo := self._pseudo(name)) is not None:
            return pseudo
        if name in self._parameters:
            return self._default(name)
        if name in self._resources:
            # Of another resource it is the name in AWS, which only AWS knows; `sam local` takes the key too.
            return self._function_names.get(name, name)
        raise NotSupported(f"Ref {name} refers to nothing in this file")

    def _pseudo(self, name: str) -> str | None:
        return {
            "AWS::Region": self._surroundings.region,
            "AWS::AccountId": self._surroundings.account_id,
            "AWS::Partition": self._surroundings.partition,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": "local",
        }.get(name)

    def _default(self, name: str) -> str:
        parameter = mapping(self._parameters[name])
        if str(parameter.get("Type", "")).startswith("AWS::SSM"):
            raise NotSupported(f"parameter {name} is kept in SSM")
        default = parameter.get("Default")
        if not isinstance(default, str):
            raise NotSupported(f"parameter {name} has no Default")
        return default

    def _sub(self, argument: Any) -> str:
        is_pair = isinstance(argument, list) and len(argument) == 2
        template, own = (argument[0], mapping(argument[1])) if is_pair else (argument, {})
        if not isinstance(template, str):
            raise NotSupported("Fn::Sub without a text is not supported")

        def value(found: re.Match[str]) -> str:
            name = found[1].strip()
            if name.startswith("!"):  # ${!Literal}
                return "${" + name[1:] + "}"
            if name in own:
                return self.text(own[name])
            return self._get_att(name.split(".", 1)) if "." in name else self._ref(name)

        return re.sub(r"\$\{([^{}]*)\}", value, template)

    def _get_att(self, argument: Any) -> str:
        path = argument.split(".", 1) if isinstance(argument, str) else argument
        name, attribute = [*path, "", ""][:2] if isinstance(path, list) else ("", "")
        if attribute == "Arn" and isinstance(name, str) and is_function(self._resources.get(name)):
            return self._surroundings.arn(self._function_names.get(name, name))
        raise NotSupported(f"Fn::GetAtt {name}.{attribute} is not supported")

    def _join(self, argument: Any) -> str:
        if not (isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], list)):
            raise NotSupported("Fn::Join without a list is not supported")
        return self.text(argument[0]).join(self.text(part) for part in argument[1])

    def _find_in_map(self, argument: Any) -> str:
        found: Any = self._mappings
        for key in argument if isinstance(argument, list) else []:
            found = mapping(found).get(self.text(key))
        if not isinstance(found, str):
            raise NotSupported("Fn::FindInMap finds no text")
        return found


def is_function(resource: Any) -> bool:
    """Whether a resource is a Lambda function."""
    return mapping(resource).get("Type") in _FUNCTION_TYPES


def mapping(value: Any) -> Mapping[str, Any]:
    """It, or an empty one where it is none."""
    return value if isinstance(value, dict) else {}
