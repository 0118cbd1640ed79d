"""packaging/prometheus/: each alert fires when what it names happens, and not otherwise; promtool is the judge.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.checkout import ROOT
from tests.support.markdown import tables
from tests.support.promtool import needs_promtool, promtool, unit_tests

RULES = ROOT / "packaging/prometheus/lambda-sidecar.rules.yml"
MONITORING = ROOT / "docs/monitoring.md"
ALERTS = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}
HERE = 'job="lambda-sidecar",instance="db1:9464"'
CALLS, API = "lambda_sidecar_calls_total", "lambda_sidecar_api_errors_total"
SLOW = "lambda_sidecar_call_duration_seconds_bucket"
Series = dict[str, str]


def series(name: str, **labels: str) -> str:
    every = ",".join([HERE, *(f'{label}="{value}"' for label, value in labels.items())])
    return f"{name}{{{every}}}"


def calls(outcome: str, values: str, function: str = "f") -> Series:
    """That outcome's calls, beside 100 calls a minute that succeed."""
    return {
        series(CALLS, function=function, outcome="success"): "0+100x30",
        series(CALLS, function=function, outcome=outcome): values,
    }


def durations(fast: str, slow: str) -> Series:
    """Calls that took up to 0.1 s, and all: up to 30 s."""
    return {
        series(SLOW, function="f", le="0.1"): fast,
        series(SLOW, function="f", le="10"): fast,
        series(SLOW, function="f", le="30"): slow,
        series(SLOW, function="f", le="+Inf"): slow,
    }


def values(**metrics: str) -> Series:
    """Of gauges and counters without labels of their own."""
    return {
        series(name if name.startswith(("up", "process")) else f"lambda_sidecar_{name}"): text
        for name, text in metrics.items()
    }


# Half an hour of samples, a minute apart, after which the alert fires; and others after which it does not.
FIRES: dict[str, Series] = {
    "LambdaSidecarDown": values(up="1x10 0x20"),
    "LambdaSidecarRestarts": values(process_start_time_seconds="1x20 2 3 4 5x7"),
    "LambdaSidecarHasNoCredentials": calls("credentials", "0x28 1 1", "(other)"),
    "LambdaSidecarRoleRefused": {
        series("lambda_sidecar_role_credential_refreshes_total", outcome="credentials"): "0x28 1 1"
    },
    "LambdaSidecarCannotReachLambda": calls("network", "0+10x30", "(other)"),
    "LambdaCallsFail": calls("function_error", "0+6x30"),
    "LambdaCallsThrottled": {series(API, code="TooManyRequestsException"): "0x28 1 1"},
    "LambdaSidecarSlotsNearlyUsed": values(calls_running="95x30", max_concurrency="100x30"),
    "LambdaSidecarOverloaded": calls("overloaded", "0x28 1 1"),
    "LambdaCallsWait": values(wait_seconds_total="0+90x30"),
    "LambdaFunctionSlow": durations("0+90x30", "0+100x30"),
    "LambdaSidecarDefect": calls("internal", "0x28 1 1"),
    "LambdaSidecarLogLinesDropped": values(log_lines_dropped_total="0x25 7x5"),
    "LambdaSidecarFilesNearlyUsed": values(process_open_fds="850x30", process_max_fds="1000x30"),
    "LambdaOutboxLate": values(outbox_oldest_seconds="0+10x30"),
    "LambdaOutboxDead": values(outbox_dead_total="0x25 1x5"),
    "LambdaOutboxFails": values(outbox_retried_total="0+9x30", outbox_accepted_total="0+8x30"),
    "LambdaOutboxNotDelivered": values(outbox_delivering="1x20 0x10"),
}
QUIET: dict[str, Series] = {
    "LambdaSidecarDown": values(up="1x28 0 0"),  # a restart
    "LambdaSidecarRestarts": values(process_start_time_seconds="1x20 2 3x9"),
    "LambdaSidecarHasNoCredentials": calls("api", "0+50x30"),
    "LambdaSidecarRoleRefused": {
        series("lambda_sidecar_role_credential_refreshes_total", outcome="success"): "0+1x30"
    },
    "LambdaSidecarCannotReachLambda": calls("network", "0+5x30"),
    "LambdaCallsFail": calls("function_error", "0+5x30") | calls("denied", "0+90x30"),
    "LambdaCallsThrottled": {series(API, code="ResourceNotFoundException"): "0+1x30"},
    "LambdaSidecarSlotsNearlyUsed": values(calls_running="90x30", max_concurrency="100x30"),
    "LambdaSidecarOverloaded": calls("overloaded", "5x30"),
    "LambdaCallsWait": values(wait_seconds_total="0+60x30"),
    "LambdaFunctionSlow": durations("0+99.5x30", "0+100x30"),
    "LambdaSidecarDefect": calls("timeout", "0+50x30"),
    "LambdaSidecarLogLinesDropped": values(log_lines_dropped_total="7x30"),
    "LambdaSidecarFilesNearlyUsed": values(process_open_fds="800x30", process_max_fds="1000x30"),
    "LambdaOutboxLate": values(outbox_oldest_seconds="60x30"),
    "LambdaOutboxDead": values(outbox_dead_total="3x30"),
    "LambdaOutboxFails": values(outbox_retried_total="0+8x30", outbox_accepted_total="0+8x30"),
    # Of two sidecars one delivers; and where there is no [outbox] there is no such metric.
    "LambdaOutboxNotDelivered": values(outbox_delivering="0x30")
    | {'lambda_sidecar_outbox_delivering{job="lambda-sidecar",instance="db2:9464"}': "1x30"},
}


def case(name: str, given: Series, fires: bool) -> dict[str, Any]:
    expected = [{"labels": "{}", "value": 1}] if fires else []
    asked = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
    return {
        "name": f"{name} {'fires' if fires else 'is quiet'}",
        "interval": "1m",
        "input_series": [{"series": each, "values": text} for each, text in given.items()],
        "promql_expr_test": [{"expr": asked, "eval_time": "29m", "exp_samples": expected}],
    }


@needs_promtool
def test_promtool_takes_the_rules() -> None:
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stderr
    assert f"SUCCESS: {len(ALERTS)} rules found" in checked.stdout


@needs_promtool
@pytest.mark.parametrize("fires", [True, False], ids=["fires", "is quiet"])
def test_every_alert_fires_when_it_should_and_only_then(fires: bool, tmp_path: Path) -> None:
    given = FIRES if fires else QUIET
    assert list(given) == list(ALERTS)
    tests = [case(name, text, fires) for name, text in given.items()]
    ran = promtool("test", "rules", unit_tests(tmp_path / "tests.yml", RULES, tests))
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_promtool
def test_a_wrong_expectation_is_found(tmp_path: Path) -> None:
    """Or the test above would prove nothing."""
    tests = [case(name, text, True) for name, text in QUIET.items()]
    ran = promtool("test", "rules", unit_tests(tmp_path / "tests.yml", RULES, tests))
    assert ran.returncode != 0
    assert (ran.stdout + ran.stderr).count("FAILED") >= 1


@needs_promtool
def test_an_alert_says_where_and_how_much(tmp_path: Path) -> None:
    name = "LambdaSidecarSlotsNearlyUsed"
    told = {
        "exp_labels": {"job": "lambda-sidecar", "instance": "db1:9464", "severity": "warning"},
        "exp_annotations": {
            "summary": "95% of the slots on db1:9464 are used",
            "description": ALERTS[name]["annotations"]["description"],
        },
    }
    test = case(name, FIRES[name], True)
    test["alert_rule_test"] = [{"eval_time": "29m", "alertname": name, "exp_alerts": [told]}]
    ran = promtool("test", "rules", unit_tests(tmp_path / "tests.yml", RULES, [test]))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("warning", "critical"), name
        assert set(rule["annotations"]) == {"summary", "description"}, name


def test_the_documentation_has_every_alert_and_no_other() -> None:
    (table,) = [each for each in tables(MONITORING) if each.columns[0] == "alert"]
    assert table.keys == list(ALERTS)


def test_the_documentation_says_for_how_long_something_must_be_so() -> None:
    rows = dict(re.findall(r"^\| `(Lambda\w+)` \| (.+?) \|", MONITORING.read_text(), re.MULTILINE))
    said = {name: re.findall(r"for (\d+) minutes$", text) for name, text in rows.items()}
    assert said == {name: re.findall(r"(\d+)m", rule.get("for", "")) for name, rule in ALERTS.items()}


def test_an_alert_about_one_event_is_gone_after_its_window() -> None:
    """`for` beside increase(…) would not ask that it goes on: one event fills the whole window."""
    for name, rule in ALERTS.items():
        assert not ("increase(" in rule["expr"] and "for" in rule), name
