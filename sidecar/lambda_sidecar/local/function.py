"""The functions folder: which functions are there, how each is configured, and whether its code has changed.
Looks at the disk only; knows nothing of invocations or workers."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from lambda_sidecar.local import runtimes
from lambda_sidecar.local.errors import FunctionConfigError, LocalLambdaError
from lambda_sidecar.local.inventory import Inventory
from lambda_sidecar.local.runtimes import Runtime
from lambda_sidecar.local.target import is_function_name
from lambda_sidecar.quotas import (
    MEMORY_DEFAULT_MB,
    MEMORY_MAX_MB,
    MEMORY_MIN_MB,
    TIMEOUT_DEFAULT_SECONDS,
    TIMEOUT_MAX_SECONDS,
)

_SETTINGS = "function.toml"
_BOOTSTRAP = "bootstrap"
_PYTHON_HANDLER = "lambda_function.lambda_handler"
_NODE_HANDLER = "index.handler"
# A folder with one of them is a function.
_MARKS = ("lambda_function.py", "index.js", "index.mjs", _BOOTSTRAP, _SETTINGS)
_MARKS_IN_WORDS = f"{', '.join(_MARKS[:-1])} or {_MARKS[-1]}"
# Folders with others' code or with none: npm's, Python's, hidden ones.
_NO_FUNCTIONS = ("node_modules", ".", "__")
_KEYS = ("handler", "timeout", "environment", "concurrency", "memory_size", "durable")
# botocore's model, RetentionPeriodInDays: 1 to 90 days. Tests need less than a day.
RETENTION_DEFAULT_SECONDS, RETENTION_MAX_SECONDS = 86_400.0, 7_776_000.0
# Variables that the service itself sets; "Defined runtime environment variables",
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_RESERVED = ("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV")
_RESERVED_PREFIX = "AWS_LAMBDA_"
RESERVED_MAX = 10_000  # reserved concurrency


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function as its folder describes it now; the revision changes with any file of the folder."""

    name: str
    folder: Path
    revision: str
    runtime: Runtime
    handler: str = _PYTHON_HANDLER
    timeout: float = TIMEOUT_DEFAULT_SECONDS  # seconds
    environment: tuple[tuple[str, str], ...] = ()
    concurrency: int | None = None  # reserved concurrency; None: only the service's limit
    memory_size: int = MEMORY_DEFAULT_MB  # MB, which the function is given and nothing enforces
    durable_retention_seconds: float = RETENTION_DEFAULT_SECONDS  # how long an execution's name is known


class FunctionFolder:
    """The folder that holds one folder per function."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._known: dict[str, Function] = {}
        self._inventories: dict[str, Inventory] = {}

    def check(self) -> list[Function]:
        """Every function, looked at once at the start. Raises LocalLambdaError for the folder of functions,
        and FunctionConfigError for one of them."""
        if not self._folder.is_dir():
            raise LocalLambdaError(f"local Lambda: the functions folder {self._folder} does not exist")
        try:
            names = sorted(entry.name for entry in self._folder.iterdir() if entry.is_dir())
        except OSError as error:
            raise LocalLambdaError(f"local Lambda: cannot read {self._folder}: {error.strerror}") from error
        return [function for name in names if (function := self.find(name)) is not None]

    def unserved(self) -> list[str]:
        """A sentence for each folder that is no function, and for a folder of functions without any: why,
        and what to change. Raises as `check` does."""
        served = {function.name for function in self.check()}
        others = [
            entry
            for entry in sorted(self._folder.iterdir())
            if entry.is_dir() and entry.name not in served and not entry.name.startswith(_NO_FUNCTIONS)
        ]
        reasons = [f"{entry} is not served: {_why_not(entry)}" for entry in others]
        if served:
            return reasons
        what = f"{self._folder} is itself a function: name the folder that holds it"
        if not _is_function(self._folder):
            what = f"{self._folder} has no function: each is a folder in it, with {_MARKS_IN_WORDS}"
        return [what, *reasons]

    def find(self, name: str) -> Function | None:
        """The function of that name as it is on disk now; None if there is none.

        Raises FunctionConfigError when its folder is there but cannot be used.
        """
        folder = self._folder / name
        if not is_function_name(name) or not folder.is_dir():
            self._known.pop(name, None)
            self._inventories.pop(name, None)
            return None
        known = self._known.get(name)
        try:
            revision = self._revision(name, folder)
            if known is not None and known.revision == revision:
                return known
            function = _read(name, folder, revision)
        except OSError as error:
            self._inventories.pop(name, None)
            raise FunctionConfigError(f"{error.filename} cannot be read: {error.strerror}") from error
        if function is not None:
            self._known[name] = function
        return function

    def why_none(self, name: str) -> str:
        """Why `find` has found no function of that name, and what to change."""
        folder = self._folder / name
        if not folder.is_dir():
            return f"there is no folder {folder}"
        return f"{folder} is no function: {_why_not(folder)}"

    def _revision(self, name: str, folder: Path) -> str:
        inventory = self._inventories.get(name)
        if inventory is None:
            inventory = self._inventories[name] = Inventory(folder)
        return inventory.revision()


def _is_function(folder: Path) -> bool:
    return any((folder / mark).exists() for mark in _MARKS)


def _why_not(folder: Path) -> str:
    if not is_function_name(folder.name):
        taken = "at most 64 letters, digits, dots, hyphens and underscores, no dot first"
        return f"its name can be no function's ({taken})"
    for ending, default in ((".py", _PYTHON_HANDLER), (".js", _NODE_HANDLER), (".mjs", _NODE_HANDLER)):
        if modules := sorted(module.stem for module in folder.glob(f"*{ending}")):
            handler = f"{modules[0]}.{default.partition('.')[2]}"
            return f'for another handler than {default}, it needs a {_SETTINGS} with handler = "{handler}"'
    return f"it has no {_MARKS_IN_WORDS}"


def _read(name: str, folder: Path, revision: str) -> Function | None:
    if not _is_function(folder):
        return None  # some other folder
    settings = folder / _SETTINGS
    table = _table(settings) if settings.exists() else {}
    for key in table:
        if key not in _KEYS:
            raise FunctionConfigError(f"{settings}: unknown key {key!r}; known are {', '.join(_KEYS)}")
    handler = table.get("handler", _default_handler(folder))
    if not isinstance(handler, str) or not handler:
        raise FunctionConfigError(f"{settings}: handler must be a string such as {_PYTHON_HANDLER!r}")
    concurrency = table.get("concurrency")
    return Function(
        name=name,
        folder=folder,
        revision=revision,
        runtime=_runtime(settings, handler),
        handler=handler,
        timeout=_number(settings, table, "timeout", TIMEOUT_DEFAULT_SECONDS, TIMEOUT_MAX_SECONDS),
        environment=check_environment(str(settings), table.get("environment", {})),
        concurrency=None
        if concurrency is None
        else _integer(settings, table, "concurrency", 0, 0, RESERVED_MAX),
        memory_size=_integer(settings, table, "memory_size", MEMORY_DEFAULT_MB, MEMORY_MIN_MB, MEMORY_MAX_MB),
        durable_retention_seconds=_retention(settings, table.get("durable", {})),
    )


def _retention(settings: Path, durable: object) -> float:
    """Of the table [durable]. Raises FunctionConfigError."""
    key = "retention_seconds"
    if not isinstance(durable, dict) or not set(durable) <= {key}:
        raise FunctionConfigError(f"{settings}: durable must be a table; known in it is {key}")
    return _number(
        settings,
        {f"durable.{key}": durable[key]} if durable else {},
        f"durable.{key}",
        RETENTION_DEFAULT_SECONDS,
        RETENTION_MAX_SECONDS,
    )


def _is_nodejs(folder: Path, handler: str) -> bool:
    return runtimes.nodejs_file(folder, handler) is not None


def _default_handler(folder: Path) -> str:
    is_python = (folder / "lambda_function.py").exists() or not _is_nodejs(folder, _NODE_HANDLER)
    return _PYTHON_HANDLER if is_python else _NODE_HANDLER


def _runtime(settings: Path, handler: str) -> Runtime:
    """A bootstrap before a handler; whether that is JavaScript is seen from the file in which it must be."""
    folder = settings.parent
    if (folder / _BOOTSTRAP).exists():
        return runtimes.bootstrap(folder)
    if "." not in handler:
        raise FunctionConfigError(f"{settings}: handler must be a string such as {_PYTHON_HANDLER!r}")
    if _is_nodejs(folder, handler) and runtimes.python_file(folder, handler) is None:
        return runtimes.nodejs(folder, handler, folder.parent)
    return runtimes.python(folder, handler)


def _table(settings: Path) -> dict[str, object]:
    try:
        return tomllib.loads(settings.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise FunctionConfigError(f"{settings}: {error}") from error


def _number(settings: Path, table: dict[str, object], key: str, default: float, most: float) -> float:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise FunctionConfigError(
            f"{settings}: {key} must be a number of seconds above 0 and up to {most:.0f}"
        )
    return float(value)


def _integer(settings: Path, table: dict[str, object], key: str, default: int, least: int, most: int) -> int:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise FunctionConfigError(f"{settings}: {key} must be an integer from {least} to {most}")
    return value


def check_environment(where: str, value: object) -> tuple[tuple[str, str], ...]:
    """A function's variables. Raises FunctionConfigError for what is none, or is reserved by Lambda."""
    if not isinstance(value, dict):
        raise FunctionConfigError(f"{where}: environment must be a table of strings")
    for name, text in value.items():
        if not isinstance(text, str) or "\0" in text:
            raise FunctionConfigError(f"{where}: environment.{name} must be a string")
        if not name or "=" in name or "\0" in name or name in _RESERVED or name.startswith(_RESERVED_PREFIX):
            raise FunctionConfigError(f"{where}: environment.{name} is reserved by Lambda or no valid name")
    return tuple(value.items())
