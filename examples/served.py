"""Where the calls of a sidecar go: by the one that runs, not by what was asked for now.

Knows its configuration file, its environment and the folder of functions; starts nothing."""

from __future__ import annotations

import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path

from lambda_sidecar.config.local import LocalLambdaSettings
from lambda_sidecar.local.errors import LocalLambdaError
from lambda_sidecar.local.sources import Functions
from lambda_sidecar.testing.sidecar import SidecarProcess

# Of Aurora's documentation; examples/functions has it.
_EXAMPLE = "BasicTestLambda"
_ENDPOINT = b"AWS_ENDPOINT_URL_LAMBDA="


@dataclass(frozen=True)
class Served:
    """Either a Lambda API's URL or a folder of functions, which the local Lambda serves on a port."""

    endpoint: str | None
    functions: Path | None
    local_port: int | None

    @classmethod
    def by(cls, sidecar: SidecarProcess) -> Served:
        """What this sidecar serves. Raises ServerError if it does not run."""
        environment = Path(f"/proc/{sidecar.pid}/environ").read_bytes().split(b"\0")
        endpoint = next((each for each in environment if each.startswith(_ENDPOINT)), None)
        local = tomllib.loads(sidecar.config_file.read_text(encoding="utf-8")).get("local")
        return cls(
            endpoint=None if endpoint is None else endpoint.removeprefix(_ENDPOINT).decode(),
            functions=None if local is None else Path(local["functions"]),
            local_port=None if local is None else local.get("port"),
        )

    def lines(self) -> list[str]:
        """Says so to people: the functions by their names, and a note for each folder that is not served."""
        if self.functions is None:
            return [f"Calls go to {self.endpoint}."]
        names, notes = self._found(self.functions)
        return [
            f"Calls go to the functions in {self.functions}:",
            *textwrap.wrap(
                ", ".join(names) or "(none)",
                80,
                initial_indent="  ",
                subsequent_indent="  ",
                break_on_hyphens=False,
            ),
            *(f"Note: {note}" for note in notes),
        ]

    def sample(self) -> str:
        """A statement that calls one of the functions: Aurora's own example where it is served, or may be."""
        names = [] if self.functions is None else self._found(self.functions)[0]
        if _EXAMPLE in names or not names:
            return f"SELECT lambda_sync('{_EXAMPLE}', JSON_OBJECT('operation', 'ping'))"
        return f"SELECT lambda_sync('{names[0]}', JSON_OBJECT())"

    @staticmethod
    def _found(folder: Path) -> tuple[list[str], list[str]]:
        """The names of its functions, and the notes."""
        functions = Functions(LocalLambdaSettings(functions=folder))
        try:
            return [function.name for function in functions.check()], functions.unserved()
        except LocalLambdaError as broken:
            return [], [str(broken)]
