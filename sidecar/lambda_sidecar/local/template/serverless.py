"""The functions of a serverless.yml, of the Serverless Framework's provider aws.

Knows the file's keys; nothing of how functions run. Source of keys and defaults: "Serverless.yml Reference"
and "AWS Lambda Functions" in the framework's guide."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lambda_sidecar.local.target import is_function_name
from lambda_sidecar.local.template.declared import (
    Declared,
    NotSupported,
    Surroundings,
    memory_size,
    reserved,
    timeout,
)
from lambda_sidecar.local.template.intrinsics import Intrinsics, mapping
from lambda_sidecar.local.template.variables import Variables

_TIMEOUT, _MEMORY_SIZE, _RUNTIME = "6", "1024", "nodejs"


def read(
    document: Mapping[str, Any], folder: Path, surroundings: Surroundings
) -> tuple[list[Declared], list[str]]:
    """Every function of the file in `folder`, and notes on what else is not supported."""
    reader = _Reader(document, folder, surroundings)
    notes: list[str] = []
    functions: dict[str, Any] = {}
    parts = document.get("functions") or {}
    for part in parts if isinstance(parts, list) else [parts]:
        if isinstance(part, dict):
            functions.update(part)
        else:
            notes.append(f"functions: {part} is not read; only functions in this file are")
    return [reader.declared(key, mapping(settings)) for key, settings in functions.items()], notes


class _Reader:
    def __init__(self, document: Mapping[str, Any], folder: Path, surroundings: Surroundings) -> None:
        self._folder = folder
        self._provider = mapping(document.get("provider"))
        self._service = document.get("service")
        self._variables = Variables(document, surroundings)
        self._values = Intrinsics(mapping(document.get("resources")), surroundings)

    def declared(self, key: str, settings: Mapping[str, Any]) -> Declared:
        name = key
        try:
            name = self._name(key, settings)
            self._refuse(settings)
            environment, notes = self._environment(settings)
            return Declared(
                key=key,
                name=name,
                folder=self._folder,
                handler=self._text(settings.get("handler", "")),
                runtime=self._setting(settings, "runtime", _RUNTIME),
                timeout=timeout(self._setting(settings, "timeout", _TIMEOUT)),
                memory_size=memory_size(self._setting(settings, "memorySize", _MEMORY_SIZE)),
                environment=environment,
                concurrency=self._concurrency(settings),
                notes=tuple(notes),
            )
        except NotSupported as reason:
            return Declared(key=key, name=name, folder=self._folder, problem=str(reason))

    def _name(self, key: str, settings: Mapping[str, Any]) -> str:
        """As the framework names it in AWS: service-stage-key, if it has no name of its own."""
        service = self._service.get("name") if isinstance(self._service, dict) else self._service
        default = f"{self._text(service or '')}-{self._variables.stage}-{key}"
        name = self._text(settings["name"]) if "name" in settings else default
        return name if is_function_name(name) else key

    def _refuse(self, settings: Mapping[str, Any]) -> None:
        if self._text(self._provider.get("name", "aws")) != "aws":
            raise NotSupported("only functions of the provider aws are run")
        if "image" in settings:
            raise NotSupported("container images are not run")
        if "artifact" in mapping(settings.get("package")):
            raise NotSupported("its package is an artifact, and only the code in this folder is run")

    def _environment(self, settings: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
        notes = ["layers are not read"] if settings.get("layers") or self._provider.get("layers") else []
        environment = {}
        for source in (self._provider.get("environment"), settings.get("environment")):
            if source is not None and not isinstance(source, dict):
                notes.append(f"environment: {source} is not read")
            for variable, value in mapping(source).items():
                try:
                    environment[variable] = self._text(value)
                except NotSupported as reason:
                    notes.append(f"environment variable {variable} is left out: {reason}")
        return environment, notes

    def _setting(self, settings: Mapping[str, Any], key: str, default: str) -> str:
        return self._text(settings.get(key, self._provider.get(key, default)))

    def _concurrency(self, settings: Mapping[str, Any]) -> int | None:
        key = "reservedConcurrency"
        return reserved(key, self._text(settings[key])) if key in settings else None

    def _text(self, value: Any) -> str:
        return self._values.text(self._variables.resolve(value))
