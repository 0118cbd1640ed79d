"""The documentation's lists against the code: keys, variables, counters and messages, none missing, none made up.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import re

import pytest
from tests.support.checkout import ROOT
from tests.support.configuration_keys import configuration_keys
from tests.support.failure_texts import failure_texts
from tests.support.markdown import tables

from lambda_sidecar.errors import PERHAPS_DONE

CONFIGURATION = ROOT / "docs/configuration.md"
ERRORS = ROOT / "docs/errors.md"
# Answers of the library that are not the first text of a call in the source.
OTHER_TEXTS = {
    "the sidecar gave no reason",
    "it gave no reason",
    "no reason that can be shown",
    "it accepts the connection but does not answer",
    "what listens there does not speak gRPC",
}


def documented(column: str) -> dict[str, list[str]]:
    """The keys of configuration.md's tables whose first column is so called, by section."""
    sections: dict[str, list[str]] = {}
    for table in tables(CONFIGURATION):
        if table.columns[0] == column:
            sections.setdefault(table.section, []).extend(table.keys)
    return sections


def test_every_key_of_the_configuration_is_documented_and_no_other() -> None:
    keys = configuration_keys()
    seen = set()
    for section, listed in documented("key").items():
        named = re.findall(r"\[+(\w+)\]+", section) or [""]
        expected = set().union(*(keys[name] for name in named))
        assert (section, set(listed)) == (section, expected)
        assert len(listed) == len(set(listed)), section
        seen |= set(named)
    assert seen == set(keys)


def test_every_key_of_function_toml_is_documented() -> None:
    source = (ROOT / "sidecar/lambda_sidecar/local/function.py").read_text()
    found = re.search(r"^_KEYS = \((.+)\)$", source, re.MULTILINE)
    assert found is not None
    for key in re.findall(r'"(\w+)"', found[1]):
        assert f"`{key}`" in CONFIGURATION.read_text()


@pytest.mark.parametrize(
    ("column", "source", "pattern", "prefix"),
    [
        ("variable", "sysvars.c", r'names\[\] = \{([^}]+)\}', "lambda_udf."),
        ("status variable", "counters.c", r"variables\[\] = \{(.+?)\n\};", "Lambda_udf_"),
    ],
)  # fmt: skip
def test_every_variable_is_documented_and_no_other(
    column: str, source: str, pattern: str, prefix: str
) -> None:
    (listed,) = documented(column).values()
    code = (ROOT / "udf" / source).read_text()
    found = re.search(pattern, code, re.DOTALL)
    assert found is not None
    names = set()
    for macro, name in re.findall(r'(\w*)\(?"(\w+)"', found[1]):
        names.add(prefix + ("errors_" if macro == "ERRORS" else "") + name)
    assert sorted(listed) == sorted(names)


def test_every_invocation_type_of_the_calls_table_is_documented_and_no_other() -> None:
    code = (ROOT / "udf/calls_table.c").read_text()
    document = (ROOT / "docs/monitoring.md").read_text()
    row = re.search(r"^\| `INVOCATION_TYPE` \| (.+); NULL", document, re.MULTILINE)
    assert row is not None
    shown = re.findall(r'return "(\w+)";', code[code.index("type_name(") : code.index("text_or_null(")])
    assert re.findall(r"`(\w+)`", row[1]) == shown


def test_uninstall_takes_back_each_variable_that_was_persisted() -> None:
    """A value that stays would count again after the next install."""
    (listed,) = documented("variable").values()
    script = (ROOT / "udf/sql/uninstall.sql").read_text()
    assert re.findall(r"^RESET PERSIST IF EXISTS (\S+);$", script, re.MULTILINE) == sorted(listed)


def test_every_environment_variable_of_the_library_is_documented() -> None:
    for name in re.findall(r'getenv\("(\w+)"\)', (ROOT / "udf/settings.c").read_text()):
        assert f"`{name}`" in CONFIGURATION.read_text()


def messages() -> list[str]:
    return [key for table in tables(ERRORS) if table.columns[0] == "message" for key in table.keys]


def test_every_message_in_the_documentation_exists_in_the_code() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "udf").glob("*.c"))
    assert all(f'"{text}"' in sources for text in OTHER_TEXTS)
    assert sorted(set(messages()) - failure_texts() - OTHER_TEXTS) == [f"…{PERHAPS_DONE}"]


def test_every_message_in_the_code_is_documented_once() -> None:
    assert sorted(failure_texts() - set(messages())) == []
    assert len(messages()) == len(set(messages()))


def test_every_line_of_the_check_that_operations_lists_exists_in_the_code() -> None:
    """Its fixed parts, between what varies."""
    package = ROOT / "sidecar/lambda_sidecar"
    places = ("check", "calls/diagnosis.py", "process/socket_check.py", "install/round_trip.py", "errors.py")
    files = [path for place in places for path in [package / place, *(package / place).glob("*.py")]]
    sources = "".join(path.read_text() for path in files if path.is_file())
    sources = sources.replace("{MYSQL_USER}", "mysql")
    (lines,) = (table.keys for table in tables(ROOT / "docs/operations.md") if table.columns[0] == "line")
    assert len(lines) > 15
    for line in lines:
        found = re.fullmatch(r"(?:FAIL|WARN)  ([a-z ]+): (.+)", line)
        assert found is not None, line
        assert f'"{found[1]}"' in sources, line
        parts = [part.strip(" ,;:") for part in found[2].split("…") if re.search("[a-z]{3}", part)]
        assert [part for part in parts if part not in sources] == [], line
