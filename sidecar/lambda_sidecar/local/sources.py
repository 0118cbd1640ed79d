"""Where functions come from: a folder with one folder for each, or a project with a template at its top.

Knows which of the two a folder is, at each look; nothing of what is in them."""

from __future__ import annotations

from pathlib import Path

from lambda_sidecar.config.local import LocalLambdaSettings
from lambda_sidecar.local.errors import FunctionConfigError
from lambda_sidecar.local.function import Function, FunctionFolder
from lambda_sidecar.local.template.declared import Surroundings
from lambda_sidecar.local.template.project import Project, templates_in


class Functions:
    """The functions of `[local] functions`."""

    def __init__(self, settings: LocalLambdaSettings) -> None:
        self._path = settings.functions.absolute()
        self._surroundings = Surroundings(region=settings.region, account_id=settings.account_id)
        self._folder = FunctionFolder(settings.functions)
        self._project: Project | None = None

    def check(self) -> list[Function]:
        """Every function, looked at once at the start. Raises LocalLambdaError."""
        return self._source().check()

    def unserved(self) -> list[str]:
        """A sentence for each function, folder or template that is not served, with what to change. Raises as
        `check` does."""
        templates = self._templates()
        others = [f"{other} is not read: {templates[0]} is" for other in templates[1:]]
        return [*self._source().unserved(), *others]

    def find(self, name: str) -> Function | None:
        """The function of that name as it is on disk now; None if there is none. Raises FunctionConfigError
        when it is there but cannot be used."""
        return self._source().find(name)

    def why_none(self, name: str) -> str:
        """Why there is no function of that name, which `find` has not found, and what to change."""
        return self._source().why_none(name)

    def _source(self) -> FunctionFolder | Project:
        templates = self._templates()
        if not templates:
            return self._folder
        if self._project is None or self._project.file != templates[0]:
            self._project = Project(templates[0], self._surroundings)
        return self._project

    def _templates(self) -> list[Path]:
        try:
            return templates_in(self._path)
        except OSError as error:
            raise FunctionConfigError(f"{self._path} cannot be read: {error.strerror}") from error
