"""A function as a project's file declares it, and how that becomes one that can run.

Knows runtimes by their names in AWS; nothing of YAML or of either file's keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lambda_sidecar.local import runtimes
from lambda_sidecar.local.errors import FunctionConfigError
from lambda_sidecar.local.function import RESERVED_MAX, Function, check_environment
from lambda_sidecar.local.runtimes import Runtime
from lambda_sidecar.quotas import MEMORY_MAX_MB, MEMORY_MIN_MB, TIMEOUT_MAX_SECONDS


class NotSupported(Exception):
    """Something in the file that cannot be had here; the text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """The account and the region that the file's pseudo parameters mean."""

    region: str
    account_id: str
    partition: str = "aws"

    def arn(self, function_name: str) -> str:
        return f"arn:{self.partition}:lambda:{self.region}:{self.account_id}:function:{function_name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """key: its key in the file, by which it can be called too. name: as it is called once it is deployed.
    problem: why it cannot run; None if it can. notes: what of it is left out, though it runs."""

    key: str
    name: str
    folder: Path
    handler: str = ""
    runtime: str = ""
    timeout: float = 0.0
    memory_size: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    concurrency: int | None = None
    notes: tuple[str, ...] = ()
    problem: str | None = None


def function_of(declared: Declared, file: Path, revision: str) -> Function:
    """What the local Lambda runs. Raises FunctionConfigError where it cannot be run, with what to do."""
    where = f"{file}: function {declared.key}"
    if declared.problem is not None:
        raise FunctionConfigError(f"{where}: {declared.problem}")
    return Function(
        name=declared.name,
        folder=declared.folder,
        revision=revision,
        runtime=_runtime(declared, where, file.parent),
        handler=declared.handler,
        timeout=declared.timeout,
        environment=check_environment(where, dict(declared.environment)),
        concurrency=declared.concurrency,
        memory_size=declared.memory_size,
    )


def timeout(value: str) -> float:
    """Raises NotSupported."""
    return float(_number("the timeout", value, 1, int(TIMEOUT_MAX_SECONDS)))


def memory_size(value: str) -> int:
    """Raises NotSupported."""
    return _number("the memory size", value, MEMORY_MIN_MB, MEMORY_MAX_MB)


def reserved(what: str, value: str) -> int:
    """Reserved concurrency. Raises NotSupported."""
    return _number(what, value, 0, RESERVED_MAX)


def code_folder(base: Path, text: str) -> Path:
    """A folder that the file names, relative to its own. Raises NotSupported."""
    if text.startswith(("s3:", "https:")):
        raise NotSupported(f"its code is at {text}, and only folders on this machine are run")
    folder = base / text
    try:
        if folder.is_file():
            raise NotSupported(
                f"its code is the file {text}, and only folders are run; name the unpacked folder"
            )
        if not folder.is_dir():
            raise NotSupported(f"its folder {text} does not exist")
    except OSError as error:
        raise NotSupported(f"its folder {text} cannot be read: {error.strerror}") from None
    return folder


def _runtime(declared: Declared, where: str, project: Path) -> Runtime:
    folder, handler, runtime = declared.folder, declared.handler, declared.runtime
    if runtime.startswith("provided"):
        return runtimes.bootstrap(folder)
    if not runtime.startswith(("python", "nodejs")):
        raise FunctionConfigError(
            f"{where}: runtime {runtime} is not run here; python…, nodejs… and provided… (a bootstrap) are"
        )
    is_python = runtime.startswith("python")
    find = runtimes.python_file if is_python else runtimes.nodejs_file
    if "." not in handler or find(folder, handler) is None:
        module, endings = handler.rpartition(".")[0] or "…", "py" if is_python else "js, .mjs or .cjs"
        raise FunctionConfigError(
            f"{where}: handler {handler!r} has no file {module}.{endings} in {folder}; "
            "if a build makes it, build, and name the folder of the built template"
        )
    return runtimes.python(folder, handler) if is_python else runtimes.nodejs(folder, handler, project)


def _number(what: str, value: str, least: int, most: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 10 and least <= int(value) <= most):
        raise NotSupported(f"{what} must be a whole number from {least} to {most}, not {value!r}")
    return int(value)
