"""Private MySQL servers and sidecars, for tests of your own SQL (docs/testing.md), our own, and the demo.

Not part of the service: nothing in lambda_sidecar imports it, and it knows the library only as a file."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lambda_sidecar.testing.call import ApiError as ApiError
    from lambda_sidecar.testing.call import Call as Call
    from lambda_sidecar.testing.container import MySqlLambdaContainer as MySqlLambdaContainer
    from lambda_sidecar.testing.kit import MySqlLambdaKit as MySqlLambdaKit
    from lambda_sidecar.testing.mysql_lambda import MySqlLambda as MySqlLambda

# The names for users. Each module is imported when its name is first used: the pytest plugin must cost the
# tests of others nothing.
_MODULES = {
    "ApiError": "call",
    "Call": "call",
    "MySqlLambda": "mysql_lambda",
    "MySqlLambdaContainer": "container",
    "MySqlLambdaKit": "kit",
}
__all__ = ["ApiError", "Call", "MySqlLambda", "MySqlLambdaContainer", "MySqlLambdaKit"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
