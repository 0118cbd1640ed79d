"""packaging/grafana/ and packaging/prometheus/ against a real sidecar's /metrics: what they name is there.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import re
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.pictures.dashboard import expressions
from tests.pictures.run import DASHBOARD, RULES, filled_in
from tests.support.aws_sidecar import OK, aws_sidecar
from tests.support.checkout import ROOT
from tests.support.lambda_endpoint import says
from tests.support.markdown import tables
from tests.support.promtool import needs_promtool, promtool, unit_tests, write_rules
from tests.support.scrape import listener

from lambda_sidecar.monitoring.function_figures import quantile
from lambda_sidecar.testing.ports import free_port

PANELS = json.loads(DASHBOARD.read_text(encoding="utf-8"))
EXPRESSIONS = [expression for panel in PANELS["panels"] for expression, _ in expressions(panel)]
CONDITIONS = [
    rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
# Prometheus' own: whether a scrape succeeded, and the labels that it adds.
UP, ITS_LABELS = "up", {"job", "instance"}
THROTTLED = says(429, b"{}", x_amzn_ErrorType="TooManyRequestsException")
NOT_FOUND = says(404, b"{}", x_amzn_ErrorType="ResourceNotFoundException")


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """Every name that a sample can have, with its labels: of a sidecar that has [outbox], and whose calls
    have come to both kinds of ends, and were throttled."""
    port, directory = free_port(), tmp_path_factory.mktemp("metrics")
    outbox = {"mysql_socket": str(directory / "no-mysql.sock")}
    answers = (OK, NOT_FOUND, THROTTLED, OK)
    with aws_sidecar(directory, *answers, metrics=listener(port), outbox=outbox) as aws:
        aws.stream.ask("f")
        aws.stream.error("f")
        aws.stream.ask("f")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    found: dict[str, set[str]] = {name: set() for name in re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    yield {UP: set(), **found}


def metrics(expression: str) -> list[str]:
    """The metrics that an expression names: words that are no functions, no labels, no operators."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]|\{[^}]*\}|\bby\s*\([^)]*\)', " ", expression)
    return [
        word
        for word in re.findall(r"\b[a-z_]+\b(?!\s*\()", bare)
        if word not in ("sum", "count", "max", "by")
    ]


@pytest.mark.parametrize("source", [EXPRESSIONS, CONDITIONS], ids=["dashboard", "rules"])
def test_every_metric_that_is_named_exists(source: list[str], families: dict[str, set[str]]) -> None:
    assert all(metrics(expression) for expression in source)
    named = {name for expression in source for name in metrics(expression)}
    assert named - set(families) == set()


@pytest.mark.parametrize("source", [EXPRESSIONS, CONDITIONS], ids=["dashboard", "rules"])
def test_every_label_that_is_named_exists(source: list[str], families: dict[str, set[str]]) -> None:
    wrong = []
    for expression in source:
        known = ITS_LABELS.union(*(families[name] for name in metrics(expression)))
        listed = ",".join(re.findall(r"\bby\s*\(([^)]*)\)", expression))
        matched = re.findall(r'(\w+)(?:=~|!~|!=|=)"', expression)
        wrong += [(expression, label) for label in {*re.findall(r"\w+", listed), *matched} - known]
    assert wrong == []


def test_every_metric_of_the_sidecar_has_its_place_in_the_dashboard(families: dict[str, set[str]]) -> None:
    named = {name for expression in EXPRESSIONS for name in metrics(expression)}
    histogram = "lambda_sidecar_call_duration_seconds"
    ours = {name for name in families if name.startswith("lambda_sidecar") and not name.startswith(histogram)}
    assert ours | {f"{histogram}_bucket"} <= named


def test_every_metric_is_documented_with_its_labels_and_no_other(families: dict[str, set[str]]) -> None:
    (table,) = [each for each in tables(ROOT / "docs/monitoring.md") if each.columns[0] == "metric"]
    listed = {}
    for key in table.keys:
        name, _, labels = key.rstrip("}").partition("{")
        listed[name] = set(re.findall(r"\w+", labels))
    suffixes = ("_bucket", "_count", "_sum")  # of a histogram, which has one line
    ours = {
        name: labels - {"le"}
        for name, labels in families.items()
        if name.startswith("lambda_sidecar") and not name.endswith(suffixes)
    }
    for name in [name for name in families if name.endswith("_bucket")]:
        ours[name.removesuffix("_bucket")] = families[name] - {"le"}
    assert {name: labels for name, labels in listed.items() if name != "process_…"} == ours


def test_lines_are_named_by_labels_that_the_query_keeps() -> None:
    for panel in PANELS["panels"]:
        for expression, name in expressions(panel):
            labels = set(re.findall(r"\{\{(\w+)\}\}", name))
            kept = set(re.findall(r"\w+", ",".join(re.findall(r"\bby\s*\(([^)]*)\)", expression))))
            assert labels <= (kept or ITS_LABELS), panel["title"]


@needs_promtool
def test_promtool_reads_every_query_of_the_dashboard(tmp_path: Path) -> None:
    queries = {f"query_{number}": filled_in(each) for number, each in enumerate(EXPRESSIONS)}
    checked = promtool("check", "rules", write_rules(tmp_path / "queries.yml", queries))
    assert checked.returncode == 0, checked.stderr
    assert f"SUCCESS: {len(EXPRESSIONS)} rules found" in checked.stdout
    broken = {"query": filled_in(EXPRESSIONS[0]) + ")"}
    assert promtool("check", "rules", write_rules(tmp_path / "broken.yml", broken)).returncode != 0


def test_no_two_panels_share_a_place_or_a_number() -> None:
    cells: Counter[tuple[int, int]] = Counter()
    for panel in PANELS["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            cells.update((x, y) for y in range(place["y"], place["y"] + place["h"]))
    assert set(cells.values()) == {1}
    numbers = [panel["id"] for panel in PANELS["panels"]]
    assert sorted(numbers) == sorted(set(numbers))


def test_every_query_goes_to_the_chosen_data_source_and_sidecars() -> None:
    names = {variable["name"]: variable["type"] for variable in PANELS["templating"]["list"]}
    assert names == {"datasource": "datasource", "job": "query", "instance": "query"}
    for panel in PANELS["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            selectors = re.findall(r"\b(?:lambda_sidecar|process|up)\w*(\{[^}]*\})?", target["expr"])
            assert all('job=~"$job",instance=~"$instance"' in each for each in selectors), target["expr"]


@needs_promtool
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_top_has_quantiles_as_prometheus_has_them(share: float, tmp_path: Path) -> None:
    bounds, counts = (0.1, 1.0, 10.0), (30, 50, 19, 1)
    sums = [sum(counts[: number + 1]) for number in range(len(counts))]
    ends = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    series = [
        {"series": f'd_bucket{{le="{end}"}}', "values": str(value)}
        for end, value in zip(ends, sums, strict=True)
    ]
    value = quantile(share, bounds, counts)
    asked = {
        "expr": f"abs(histogram_quantile({share}, d_bucket) - {value}) < bool 1e-9",
        "eval_time": "0m",
        "exp_samples": [{"labels": "{}", "value": 1}],
    }
    rules = write_rules(tmp_path / "rules.yml", {"unused": "1"})
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [asked]}
    ran = promtool("test", "rules", unit_tests(tmp_path / "tests.yml", rules, [test]))
    assert ran.returncode == 0, ran.stdout + ran.stderr
