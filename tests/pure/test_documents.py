"""README, docs/ and the other documents as texts: their links, their blocks, and what they leave out.

Each test's name is the sentence that it proves. That the blocks run: tests/sql/test_documentation.py."""

from __future__ import annotations

import re

import yaml
from tests.support.checkout import ROOT
from tests.support.documents import DOCUMENTS, EVERY_DOCUMENT, anchors, runnable
from tests.support.markdown import blocks

MOST_NOT_RUN = 0.2
# What runs where a Docker Engine answers, and on a machine of its own (test_package_steps.py).
ELSEWHERE = ("tests/containers runs it", "tests/packaging runs it")
# A reader has it read in two minutes.
README_LINES = 130


def test_few_blocks_are_left_out_and_each_says_why() -> None:
    every = [block for document in DOCUMENTS for block, _ in runnable(document)]
    left_out = [block for block in every if block.not_run and not block.not_run.endswith(ELSEWHERE)]
    assert len(left_out) <= MOST_NOT_RUN * len(every), [str(block) for block in left_out]
    assert all(len(block.not_run) > 10 for block in left_out)


def test_every_block_names_its_language() -> None:
    known = {"sql", "sh", "toml", "json", "text", "python", "proto", "yaml", "js"}
    drawings = [block for document in DOCUMENTS for block in blocks(document) if block.language == ""]
    assert [str(block) for block in drawings if "┌" not in block.text] == []
    assert {block.language for document in DOCUMENTS for block in blocks(document)} <= known | {""}


def test_every_workflow_is_a_job_of_some_ten_lines() -> None:
    workflows = [block for document in DOCUMENTS for block in blocks(document) if block.language == "yaml"]
    assert workflows
    for block in workflows:
        job = yaml.safe_load(block.text)
        assert {"runs-on", "steps"} <= job.keys() <= {"runs-on", "services", "steps"}, str(block)
        assert all("uses" in step or "run" in step for step in job["steps"]), str(block)
        assert len(block.text.splitlines()) <= 11, str(block)


def test_every_link_leads_to_a_file_and_a_heading_of_it() -> None:
    for document in EVERY_DOCUMENT:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", document.read_text()):
            path = document.parent / target if target else document
            assert path.exists(), f"{document.name}: {target}"
            assert not anchor or anchor in anchors(path), f"{document.name}: {target}#{anchor}"


def test_no_document_holds_the_markers_of_a_merge() -> None:
    for document in EVERY_DOCUMENT:
        assert not re.search(r"^(<{7}|={7}|>{7})", document.read_text(), re.MULTILINE), document.name


def test_readme_is_short_and_shows_a_statement_with_its_answer() -> None:
    readme = ROOT / "README.md"
    assert len(readme.read_text().splitlines()) <= README_LINES
    assert any(shown for _, shown in runnable(readme))


def test_from_readme_it_is_three_steps_to_where_a_payload_becomes_an_http_request() -> None:
    assert "CONTRIBUTING.md#follow-a-row" in (ROOT / "README.md").read_text()
    (row,) = re.findall(
        r"`(\S+\.py)` \| \*\*here a payload .+?\*\*: `(\w+)`", (ROOT / "CONTRIBUTING.md").read_text()
    )
    file, function = row
    assert f"def {function}(" in (ROOT / "sidecar/lambda_sidecar" / file).read_text()


def test_the_files_that_a_row_passes_and_that_a_new_function_touches_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    row, recipe = (
        text.partition(f"## {title}\n")[2].partition("\n## ")[0]
        for title in ("Follow a row", "Recipe: add a SQL function")
    )
    passed = re.findall(r"`([\w/]+/\w+\.\w+)`", row)
    touched = re.findall(r"^\| `(\S+)` \|", recipe, re.MULTILINE)
    folders = (ROOT, ROOT / "sidecar/lambda_sidecar")
    missing = [name for name in passed + touched if not any((folder / name).exists() for folder in folders)]
    assert passed
    assert missing == []


def test_every_room_and_every_module_of_the_library_is_in_the_table_of_rooms() -> None:
    rooms = (ROOT / "CONTRIBUTING.md").read_text().partition("## The rooms\n")[2].partition("\n## ")[0]
    named = {
        name
        for row in re.findall(r"^\| (`.+?) \|", rooms, re.MULTILINE)
        for name in re.findall("`(.+?)`", row)
    }
    package = ROOT / "sidecar/lambda_sidecar"
    there = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    there |= {path.name for path in package.glob("[a-z]*.py")} | {
        path.stem for path in (ROOT / "udf").glob("*.c")
    }
    assert there - named == set()
