"""Every text with which a call can fail, as it stands in the code; what varies is written "…".

Reads C and Python source; knows nothing of the documentation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.checkout import ROOT

SIDECAR = ROOT / "sidecar/lambda_sidecar"
# Calls whose first string is a text for users: of the library, and of the sidecar.
_C_CALL = re.compile(
    r"\b(?:failure_set|line_unavailable|stream_break|give_reason|server_warn|warn_once|snprintf)\s*\("
)
_RAISES = {"InvalidRequest", "InvokeFailure"}
# These put words of their own before the text.
_PREFIXES = {"AccessDenied": "AccessDenied: "}
# Rooms whose errors are not a call's.
_OTHER_ERRORS = {"install", "local", "migrate", "testing"}
_C_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_C_FORMAT = re.compile(r"%[-0-9.*]*(?:lu|zu|llu|[suid])")
# Not shown: these become the server's own errors 1227, 1317 and 3024, or are parts of others.
_INTERNAL = {"access denied", "interrupted", "max_execution_time exceeded", ""}


def failure_texts() -> set[str]:
    """The texts of both sides."""
    texts = {text for path in sorted((ROOT / "udf").glob("*.c")) for text in _of_c(path)}
    for path in sorted(SIDECAR.rglob("*.py")):
        if path.relative_to(SIDECAR).parts[0] not in _OTHER_ERRORS:
            texts |= set(_of_python(path))
    return {text for text in texts if text not in _INTERNAL and re.search("[a-zA-Z]{3}", text)}


def _of_c(path: Path) -> Iterator[str]:
    """The first string (with those that adjoin it) in each call that makes a text."""
    code = path.read_text()
    for call in _C_CALL.finditer(code):
        arguments = code[call.end() : _closing(code, call.end())]
        if call[0].startswith("snprintf") and not re.match(r"\s*(?:message|what|reason)\b", arguments):
            continue
        first = _C_STRING.search(arguments)
        if first is None:
            continue
        text, end = first[0][1:-1], first.end()
        while adjoining := re.compile(r'\s*"((?:[^"\\]|\\.)*)"').match(arguments, end):
            text, end = text + adjoining[1], adjoining.end()
        yield re.sub("…+", "…", _C_FORMAT.sub("…", text))


def _closing(code: str, start: int) -> int:
    depth = 1
    for found in re.compile(r'"(?:[^"\\]|\\.)*"|[()]').finditer(code, start):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    return len(code)


def _of_python(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        own = path.name == "errors.py" and ast.unparse(call.func) == "super().__init__"
        if not (own or name in _RAISES or name in _PREFIXES) or not call.args:
            continue
        text = _template(call.args[0])
        if text is not None and text not in (prefix + "…" for prefix in _PREFIXES.values()):
            yield _PREFIXES.get(name, "") + text


def _template(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)  # type: ignore[misc]
    return None
