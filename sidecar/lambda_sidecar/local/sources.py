"""Where functions come from: a folder with one folder for each, or a project with a template at its top.

Knows which of the two a folder is, at each look; nothing of what is in them."""

from __future__ import annotations

from lambda_sidecar.config.local import LocalLambdaSettings
from lambda_sidecar.local.function import Function, FunctionFolder
from lambda_sidecar.local.template.declared import Surroundings
from lambda_sidecar.local.template.project import Project, template_in


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
        """A sentence for each function or folder that is not served, with what to change. Raises as `check`
        does."""
        return self._source().unserved()

    def find(self, name: str) -> Function | None:
        """The function of that name as it is on disk now; None if there is none. Raises FunctionConfigError
        when it is there but cannot be used."""
        return self._source().find(name)

    def _source(self) -> FunctionFolder | Project:
        template = template_in(self._path)
        if template is None:
            return self._folder
        if self._project is None or self._project.file != template:
            self._project = Project(template, self._surroundings)
        return self._project
