"""The files around the code, for people and their tools: they agree with each other and with what is there.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from release_number import SERIES
from tests.support.checkout import ROOT
from tests.support.configuration_keys import configuration_keys

from lambda_sidecar.process.socket_file import SOCKET_MODE

SECURITY = (ROOT / "SECURITY.md").read_text()
UNIT = (ROOT / "packaging/systemd/lambda-sidecar.service").read_text()
HOOKS = {
    hook["id"]: hook
    for repository in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    for hook in repository["hooks"]
}
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())


def committed() -> list[Path]:
    """Every file that git tracks, as it is now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_two_test_files_have_one_name() -> None:
    """pytest would take neither: tests/ has no packages."""
    names = [path.name for path in committed() if path.name.startswith("test_") and path.suffix == ".py"]
    assert sorted(names) == sorted(set(names))


# ---- .editorconfig ----

SEEDS = ROOT / "tests/fuzz/seeds"


def test_every_file_is_as_editorconfig_says() -> None:
    wrong = []
    for path in committed():
        if path.is_relative_to(SEEDS):
            continue  # bytes of any kind
        lines = path.read_bytes().decode("utf-8").split("\n")
        if lines[-1] != "":
            wrong.append(f"{path}: no newline at its end")
        for number, line in enumerate(lines, 1):
            if line != line.rstrip():
                wrong.append(f"{path}:{number}: space at the line's end")
            if line.startswith("\t") and path.name != "Makefile":
                wrong.append(f"{path}:{number}: a tab")
    assert wrong == []


def test_editorconfig_and_the_formatters_agree_on_the_longest_line() -> None:
    editor = set(re.findall(r"^max_line_length = (\d+)$", (ROOT / ".editorconfig").read_text(), re.MULTILINE))
    ruff = re.findall(r"^line-length = (\d+)$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    clang = re.findall(r"^ColumnLimit: (\d+)$", (ROOT / ".clang-format").read_text(), re.MULTILINE)
    assert editor == {*ruff, *clang}


# ---- .pre-commit-config.yaml ----


def test_every_tool_of_make_check_is_a_hook_and_comes_from_the_environment() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipe = makefile.split("\ncheck: ", 1)[1].split("\n\n", 1)[0]
    tools = set(re.findall(r"\$\(VENV\)/bin/([\w-]+)", recipe))
    assert tools == {"clang-format", "ruff", "mypy"}  # and clang-tidy, by udf/Makefile
    hooks = [shlex.split(hook["entry"])[0] for hook in HOOKS.values()]
    assert set(hooks) == {f".venv/bin/{tool}" for tool in tools} | {"make"}
    assert shlex.split(HOOKS["check"]["entry"]) == ["make", "check"]
    assert HOOKS["check"]["stages"] == ["pre-push"]
    assert {hook["language"] for hook in HOOKS.values()} == {"system"}


@pytest.mark.parametrize(
    ("name", "file", "text", "look"),
    [
        ("clang-format", "f.c", "int  f( void ){return 0;}\n", ["--dry-run", "--Werror"]),
        ("ruff-format", "f.py", "NAMES = { 'a':1 }\n", ["--check"]),
        ("ruff-check", "f.py", "import os\nimport ast\n\nMODULES = (os, ast)\n", ["--no-fix"]),
    ],
)
def test_a_hook_makes_a_file_what_make_check_wants(
    name: str, file: str, text: str, look: list[str], tmp_path: Path
) -> None:
    for configuration in (".clang-format", "pyproject.toml"):
        shutil.copy(ROOT / configuration, tmp_path)
    (tmp_path / file).write_text(text)
    tool, *arguments = shlex.split(HOOKS[name]["entry"])

    def run(*words: str) -> int:
        return subprocess.run(
            [ROOT / tool, *words, file], cwd=tmp_path, capture_output=True, check=False
        ).returncode

    asked = [*(word for word in arguments if word not in ("-i", "--fix")), *look]
    assert run(*asked) != 0
    run(*arguments)
    assert run(*asked) == 0


# ---- .github/ ----


def steps() -> list[dict[str, Any]]:
    (job,) = WORKFLOW["jobs"].values()
    return list(job["steps"])


def test_the_workflow_runs_ci_run_in_a_clone_with_all_commits_and_may_only_read() -> None:
    checkout, run = steps()
    assert checkout["with"]["fetch-depth"] == 0
    assert run["run"].rstrip().endswith(".ci/run'")
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert set(WORKFLOW[True]) == {"push", "pull_request"}  # YAML 1.1 takes `on` for true


def test_ci_leaves_out_no_test_for_want_of_a_package() -> None:
    """As root it has all of them, or fails."""
    script = (ROOT / ".ci/run").read_text()
    assert "for what in bench prometheus cross-$other package-tests; do\n" in script
    assert "|| true" not in script.split("\nstart_docker\n")[1]


def test_every_action_is_pinned_by_its_commit() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name)] == []


def test_the_workflows_script_is_one_that_bash_can_read_and_brings_what_a_fresh_machine_has() -> None:
    script = re.sub(r"\$\{\{.*?\}\}", "bookworm", steps()[-1]["run"])
    outer = shlex.split(script.replace("\\\n", " "))
    assert outer[-3:-1] == ["pipefail", "-c"]
    for text in (script, outer[-1]):
        done = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    packages = re.findall(r"--no-install-recommends (.+)", outer[-1])[0].split()
    fresh = re.findall(r'" (apt,[\w,-]+) ', (ROOT / "packaging/debian/fresh-machine.sh").read_text())[
        0
    ].split(",")
    assert packages == [name for name in fresh if name != "apt"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem
)
def test_an_issue_form_has_a_name_and_fields_of_githubs_types(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert form["name"] and form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert len({field["id"] for field in fields}) == len(fields) > 1
    assert all(field["attributes"]["label"] for field in fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


# ---- what all of them name ----

TEXTS = [ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / ".github").rglob("*.*"))]
PATH = re.compile(
    r"(?<![\w/.:-])((?:udf|sidecar|protos|bench|tests|packaging|examples|docs|\.github|\.ci)/[\w./-]*\w/?|\w+\.md)\b"
)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_file_that_is_named_is_there(path: Path) -> None:
    named = set(PATH.findall(path.read_text()))
    assert [
        name for name in named if not (ROOT / name).exists() and not (ROOT / "docs" / name).exists()
    ] == []


def test_the_threat_model_names_many_files() -> None:
    """Or the test above would prove nothing."""
    assert len([name for name in PATH.findall(SECURITY) if name.startswith("tests/")]) > 15


def test_links_of_the_threat_model_lead_to_headings() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", SECURITY):
        file, _, anchor = target.partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, target


def test_keys_and_variables_that_the_threat_model_names_exist() -> None:
    names = re.findall(r"`lambda_udf\.(\w+)`", SECURITY)
    variables, schema = (ROOT / "udf/sysvars.c").read_text(), (ROOT / "udf/sql/install.sql").read_text()
    assert names
    assert [
        name for name in names if f'"{name}"' not in variables and f" lambda_udf.{name}" not in schema
    ] == []
    keys = set().union(*configuration_keys().values()) | set(configuration_keys())
    assert {"max_concurrency", "session_tags"} <= keys
    named = (
        set(re.findall(r"`\[+(\w+)\]+`", SECURITY))
        | set(re.findall(r"`(\w+) = ", SECURITY))
        | {"max_concurrency"}
    )
    assert named - keys == set()


def test_modes_and_the_supported_series_are_the_ones_in_force() -> None:
    assert f"mode {SOCKET_MODE:04o}" in SECURITY
    (folder,) = re.findall(r"^RuntimeDirectoryMode=(\d+)$", UNIT, re.MULTILINE)
    assert f"is {folder} in the systemd unit" in SECURITY
    assert "LimitCORE=0" in UNIT  # "the systemd unit forbids the sidecar's"
    assert f"of the series {SERIES}." in SECURITY
