"""The file of a project: YAML, with CloudFormation's short tags in their long form.

Knows nothing of what is declared in it. Every scalar is text, as it is written: to AWS an environment
variable is text, and 0123 or 1.10 must stay what they are."""

from __future__ import annotations

import functools
from itertools import chain
from pathlib import Path
from typing import Any

from lambda_sidecar.local.errors import FunctionConfigError

# "CloudFormation quotas", template body size in an S3 object: 1 MB.
_FILE_MAX = 1024 * 1024
# With all that its aliases repeat, in bytes: ten lines of aliases of aliases would make billions of values.
_WHOLE_MAX = 10 * _FILE_MAX
_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:str")


def read(file: Path) -> tuple[dict[str, Any], list[str]]:
    """The document, and notes on keys that stand twice. Raises FunctionConfigError: a file that cannot be
    read, is too large, is no YAML or no mapping, or no PyYAML."""
    text = _text(file)
    loader, failure = _yaml(file)
    looked = _Look()
    try:
        document = _document(loader(text), looked)
    except _Refused as refused:
        raise FunctionConfigError(f"{file} {refused}") from None
    except (failure, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise FunctionConfigError(f"{file} is not YAML: {why}") from error
    if not isinstance(document, dict):
        raise FunctionConfigError(f"{file} is not a mapping of keys")
    return document, looked.notes


class _Refused(Exception):
    """YAML that is not taken; the text says what it does."""


class _Look:
    """A look at a document before it is made of its nodes, each of which may stand in many places."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._sizes: dict[int, int | None] = {}

    def size(self, node: Any) -> int:
        """In bytes, with all that aliases repeat. Raises _Refused, and UnicodeError for half a character."""
        if id(node) not in self._sizes:
            self._sizes[id(node)] = None  # until it is known
            self._sizes[id(node)] = self._measured(node)
        size = self._sizes[id(node)]
        if size is None:
            raise _Refused("refers to itself without end")
        return size

    def _measured(self, node: Any) -> int:
        if node.id == "scalar":
            return 1 + len(node.value.encode())
        if node.id == "mapping":
            self._note_twins(node)
        size = 1
        for part in chain.from_iterable(node.value) if node.id == "mapping" else node.value:
            size += self.size(part)
        if size > _WHOLE_MAX:
            raise _Refused(f"has aliases that make more than {_WHOLE_MAX // _FILE_MAX} MB of it")
        return size

    def _note_twins(self, mapping: Any) -> None:
        seen = set()
        for key in (key for key, _ in mapping.value if key.id == "scalar" and key.value != "<<"):
            if key.value in seen:
                line = key.start_mark.line + 1
                self.notes.append(f"line {line} has the key {key.value} a second time, and only that counts")
            seen.add(key.value)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_FILE_MAX + 1)
        if len(content) > _FILE_MAX:
            raise FunctionConfigError(f"{file} is larger than 1 MB, which is as much as CloudFormation takes")
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise FunctionConfigError(f"{file} cannot be read: {error}") from error


def _document(loader: Any, looked: _Look) -> Any:
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        looked.size(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _yaml(file: Path) -> tuple[Any, type[Exception]]:
    """A loader's class, and what it raises."""
    try:
        import yaml
    except ImportError:
        raise FunctionConfigError(
            f"{file} needs PyYAML to be read; run pip install 'lambda-udf[local]'"
        ) from None
    return _loader(yaml), yaml.YAMLError


@functools.cache
def _loader(yaml: Any) -> Any:
    # In C, where PyYAML has been built with it, ten times as fast: the event loop waits for it.
    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Resolves `<<` and nothing else; every other scalar is text, whatever tag of YAML's it has."""

        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [(tag, pattern) for tag, pattern in found if tag == "tag:yaml.org,2002:merge"]
            for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }
        yaml_constructors = {tag: yaml.SafeLoader.yaml_constructors[tag] for tag in _TAGS}  # noqa: RUF012

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
