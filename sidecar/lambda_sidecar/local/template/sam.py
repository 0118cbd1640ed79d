"""The functions of a SAM template, or of a CloudFormation template with AWS::Lambda::Function.

Knows these resources' properties; nothing of how functions run. Source: "AWS::Serverless::Function" in the
SAM developer guide, "AWS::Lambda::Function" in the CloudFormation template reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lambda_sidecar.local.target import is_function_name
from lambda_sidecar.local.template.declared import (
    Declared,
    NotSupported,
    Surroundings,
    code_folder,
    memory_size,
    reserved,
    timeout,
)
from lambda_sidecar.local.template.intrinsics import Intrinsics, is_function, mapping
from lambda_sidecar.quotas import MEMORY_DEFAULT_MB, TIMEOUT_DEFAULT_SECONDS

_NESTED = ("AWS::Serverless::Application", "AWS::CloudFormation::Stack")


def read(
    template: Mapping[str, Any], folder: Path, surroundings: Surroundings
) -> tuple[list[Declared], list[str]]:
    """Every function of the template in `folder`, and notes on what else is not supported."""
    resources = mapping(template.get("Resources"))
    shared = mapping(mapping(template.get("Globals")).get("Function"))
    functions = {
        key: _merged(shared if resource["Type"] == "AWS::Serverless::Function" else {}, resource)
        for key, resource in resources.items()
        if is_function(resource)
    }
    bare = Intrinsics(template, surroundings)
    names, notes = {}, []
    for key, properties in functions.items():
        names[key], why_not = _name(key, properties, bare)
        if why_not:
            notes.append(f"function {key}: FunctionName is left out: {why_not}")
    values = Intrinsics(template, surroundings, names)
    found = [_declared(key, names[key], properties, folder, values) for key, properties in functions.items()]
    return found, [*(note for key in resources if (note := _unread(key, resources[key]))), *notes]


def _unread(key: str, resource: Any) -> str:
    """Why functions that a resource stands for are not read; empty if it stands for none."""
    if key.startswith("Fn::"):  # Fn::ForEach::…, which makes resources
        return f"{key} is not supported, and functions in it are not read"
    if mapping(resource).get("Type") in _NESTED:
        return f"{key} is a nested stack, and its functions are not read"
    return ""


def _merged(shared: Mapping[str, Any], resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """The function's properties above those of Globals, and the variables of both ("Globals section")."""
    own = mapping(resource.get("Properties"))
    variables = {**_variables(shared), **_variables(own)}
    return {**shared, **own, "Environment": {"Variables": variables}}


def _variables(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(mapping(properties.get("Environment")).get("Variables"))


def _name(key: str, properties: Mapping[str, Any], values: Intrinsics) -> tuple[str, str]:
    """Its FunctionName; the key where CloudFormation would make one up, or where it cannot be known, with the
    reason of the latter."""
    if "FunctionName" not in properties:
        return key, ""
    try:
        name = values.text(properties["FunctionName"])
    except NotSupported as reason:
        return key, str(reason)
    return (name, "") if is_function_name(name) else (key, f"{name!r} is no function's name")


def _declared(
    key: str, name: str, properties: Mapping[str, Any], folder: Path, values: Intrinsics
) -> Declared:
    notes = ["layers are not read"] if properties.get("Layers") else []
    environment = {}
    for variable, value in _variables(properties).items():
        try:
            environment[variable] = values.text(value)
        except NotSupported as reason:
            notes.append(f"environment variable {variable} is left out: {reason}")
    try:
        return Declared(
            key=key,
            name=name,
            folder=_code(properties, folder, values),
            handler=values.text(properties.get("Handler", "")),
            runtime=values.text(properties.get("Runtime", "")),
            timeout=timeout(values.text(properties.get("Timeout", f"{TIMEOUT_DEFAULT_SECONDS:.0f}"))),
            memory_size=memory_size(values.text(properties.get("MemorySize", f"{MEMORY_DEFAULT_MB}"))),
            environment=environment,
            concurrency=_concurrency(properties, values),
            notes=tuple(notes),
        )
    except NotSupported as reason:
        return Declared(key=key, name=name, folder=folder, problem=str(reason))


def _code(properties: Mapping[str, Any], folder: Path, values: Intrinsics) -> Path:
    if properties.get("PackageType") == "Image" or "ImageUri" in properties:
        raise NotSupported("container images are not run")
    if "InlineCode" in properties:
        raise NotSupported("InlineCode is not run; put the code into a folder, and name it as CodeUri")
    code = properties.get("CodeUri", properties.get("Code", "."))
    if isinstance(code, dict) and ("S3Bucket" in code or "Bucket" in code):
        raise NotSupported("its code is in S3, and only folders on this machine are run")
    if isinstance(code, dict) and "ZipFile" in code:
        raise NotSupported("code in the template is not run; put it into a folder")
    return code_folder(folder, values.text(code))


def _concurrency(properties: Mapping[str, Any], values: Intrinsics) -> int | None:
    if "ReservedConcurrentExecutions" not in properties:
        return None
    text = values.text(properties["ReservedConcurrentExecutions"])
    return reserved("ReservedConcurrentExecutions", text)
