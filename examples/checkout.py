"""A checkout's own parts: its folders, the library that it has built, and a MySQL to load it.

Knows where things are; starts no server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lambda_sidecar.testing.process import ServerError

CHECKOUT = Path(__file__).resolve().parents[1]
LIBRARY = CHECKOUT / "build" / "lambda_udf.so"
FUNCTIONS = CHECKOUT / "examples" / "functions"


def mysql_home() -> Path:
    """The folder whose bin/ holds mysqld: LAMBDA_UDF_MYSQL, or the one that packaging/mysql/provide.sh prints
    (and may have to fetch). Raises ServerError."""
    if named := os.environ.get("LAMBDA_UDF_MYSQL"):
        return Path(named)
    script = CHECKOUT / "packaging" / "mysql" / "provide.sh"
    done = subprocess.run([str(script)], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ServerError("no MySQL to run (see above)")
    return Path(done.stdout.strip())
