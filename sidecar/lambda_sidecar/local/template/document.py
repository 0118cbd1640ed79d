"""The file of a project: YAML, with CloudFormation's short tags in their long form.

Knows nothing of what is declared in it. Every scalar is text, as it is written: to AWS an environment
variable is text, and 0123 or 1.10 must stay what they are."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from lambda_sidecar.local.errors import FunctionConfigError


def read(file: Path) -> dict[str, Any]:
    """Raises FunctionConfigError: a file that cannot be read, is no YAML or no mapping, or no PyYAML."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FunctionConfigError(f"{file} cannot be read: {error}") from error
    loader, failure = _yaml(file)
    try:
        document = loader(text)
    except (failure, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise FunctionConfigError(f"{file} is not YAML: {why}") from error
    if not isinstance(document, dict):
        raise FunctionConfigError(f"{file} is not a mapping of keys")
    return document


def _yaml(file: Path) -> tuple[Any, type[Exception]]:
    """A function from text to a document, and what it raises."""
    try:
        import yaml
    except ImportError:
        raise FunctionConfigError(
            f"{file} needs PyYAML to be read; run pip install 'lambda-udf[local]'"
        ) from None
    return functools.partial(yaml.load, Loader=_loader(yaml)), yaml.YAMLError


@functools.cache
def _loader(yaml: Any) -> Any:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Resolves `<<` and nothing else; every other plain scalar is text."""

        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [(tag, pattern) for tag, pattern in found if tag == "tag:yaml.org,2002:merge"]
            for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    Loader.add_multi_constructor("!", _tagged)
    return Loader


def _tagged(loader: Any, tag: str, node: Any) -> dict[str, Any]:
    """`!Sub x` is `Fn::Sub: x`; the "Intrinsic function reference" of CloudFormation has both forms."""
    value: Any
    if node.id == "scalar":
        value = loader.construct_scalar(node)
    elif node.id == "sequence":
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if tag in ("Ref", "Condition"):
        return {tag: value}
    if tag == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{tag}": value}
