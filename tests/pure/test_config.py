"""The configuration: what is accepted, and that whatever is wrong is named.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lambda_sidecar.config.config import Config, ConfigError, load_config


def write(directory: Path, text: str) -> Path:
    path = directory / "sidecar.toml"
    path.write_text(text)
    return path


def test_without_a_file_everything_has_its_default() -> None:
    config = load_config(None, {})
    assert config == Config()
    assert config.socket == Path("/run/lambda-sidecar/sidecar.sock")
    assert config.local is None


def test_a_file_sets_everything_and_its_paths_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    path = write(
        tmp_path,
        """
        socket = "s.sock"
        region = "eu-central-1"
        account_id = "210987654321"
        drain_seconds = 5
        connect_timeout_seconds = 2.5
        log_level = "debug"
        [local]
        functions = "functions"
        port = 9001
        event_retry_seconds = [1, 2.5]
        """,
    )
    config = load_config(path, {})
    assert config.socket == tmp_path / "s.sock"
    assert (config.region, config.account_id, config.drain_seconds) == ("eu-central-1", "210987654321", 5.0)
    assert config.local is not None
    assert (config.local.functions, config.local.port) == (tmp_path / "functions", 9001)
    assert config.local.event_retry_seconds == (1.0, 2.5)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'region = "eu-central-1"\ndrain_seconds = 5\n')
    config = load_config(path, {"LAMBDA_SIDECAR_REGION": "us-west-2", "LAMBDA_SIDECAR_DRAIN_SECONDS": "7.5"})
    assert (config.region, config.drain_seconds) == ("us-west-2", 7.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sockett = 'x'", "unknown key 'sockett'; known are account_id, allow, associated_roles,"),
        ("[local]\nfunctions = '.'\nprot = 1", "local: unknown key 'prot'; known are account_id, concurrency,"),
        ("[local]\nport = 1", "local: 'functions' is missing"),
        ("local = 1", "local: a table is expected"),
        ("socket = 1", "socket: a path is expected, not 1"),
        ('socket = "/a\\u0000b"', "socket: a path is expected, not '/a\\x00b'"),
        ("drain_seconds = '5'", "drain_seconds: a number is expected, not '5'"),
        ("drain_seconds = true", "drain_seconds: a number is expected, not True"),
        ("drain_seconds = -1", "drain_seconds: 0 to 900 is expected"),
        ("drain_seconds = nan", "drain_seconds: a finite number is expected, not nan"),
        ("throttled_seconds = 0", "throttled_seconds: above 0, to 900 is expected"),
        ("connect_timeout_seconds = 0", "connect_timeout_seconds: above 0, to 60 is expected"),
        ("log_level = 'loud'", "log_level: one of debug, info, warning, error is expected"),
        ("account_id = '12'", "account_id: 12 digits expected"),
        ("region = 'EU'", "region: not a region's name"),
        ("function_name_format = 'ARN'", "function_name_format: one of arn, name is expected"),
        ("[local]\nfunctions = 'nowhere'", "nowhere is not a folder"),
        ("[local]\nfunctions = '.'\nport = 70000", "local: local Lambda settings: port is 70000; it must be 0 to 65535"),
        ("[local]\nfunctions = '.'\nconcurrency = 0", "local: local Lambda settings: concurrency is 0;"),
        ("[local]\nfunctions = '.'\nevent_retry_seconds = ['x']", "event_retry_seconds 1: a number is expected"),
        ("region = ", "not TOML: "),
        (f"socket = '/{'x' * 120}'", "socket: the path has 121 bytes, at most 107"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load_config(path, {})
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "LAMBDA_SIDECAR_REGIO",
            "x",
            "environment: unknown variable LAMBDA_SIDECAR_REGIO; known are LAMBDA_",
        ),
        ("LAMBDA_SIDECAR_LOCAL", "x", "environment: unknown variable LAMBDA_SIDECAR_LOCAL"),
        ("LAMBDA_SIDECAR_PORT", "9464", "environment: unknown variable LAMBDA_SIDECAR_PORT"),
        ("LAMBDA_SIDECAR_METRICS_PORT", "9464", "environment: unknown variable LAMBDA_SIDECAR_METRICS_PORT"),
        (
            "LAMBDA_SIDECAR_SERVICE_HOSTS",
            "10.0.0.7",
            "environment: unknown variable LAMBDA_SIDECAR_SERVICE_H",
        ),
        ("LAMBDA_SIDECAR_SERVICE_HOST", "", "environment: unknown variable LAMBDA_SIDECAR_SERVICE_HOST"),
        (
            "LAMBDA_SIDECAR_DRAIN_SECONDS",
            "x",
            "environment: LAMBDA_SIDECAR_DRAIN_SECONDS: a number is expected",
        ),
        ("LAMBDA_SIDECAR_LOG_LEVEL", "x", "environment: log_level: one of debug, info, warning, error"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(None, {name: value})
    assert str(raised.value).startswith(message)


def service_variables(name: str, host: str) -> dict[str, str]:
    """What Kubernetes sets for a Service with one port called `metrics` and one without a name."""
    address = f"[{host}]" if ":" in host else host
    variables = {"SERVICE_HOST": host, "SERVICE_PORT": "9464", "SERVICE_PORT_METRICS": "9464"}
    variables["PORT"] = f"tcp://{address}:9464"
    for port, protocol in (("9464", "tcp"), ("53", "udp")):
        link = f"PORT_{port}_{protocol.upper()}"
        variables |= {
            link: f"{protocol}://{address}:{port}",
            f"{link}_PROTO": protocol,
            f"{link}_PORT": port,
            f"{link}_ADDR": host,
        }
    return {f"{name}_{key}": value for key, value in variables.items()}


@pytest.mark.parametrize("name", ["LAMBDA_SIDECAR", "LAMBDA_SIDECAR_METRICS", "LAMBDA_SIDECAR_2"])
@pytest.mark.parametrize("host", ["10.96.0.7", "fd00::7"])
def test_what_a_kubernetes_service_sets_is_passed_over(name: str, host: str) -> None:
    assert load_config(None, service_variables(name, host)) == Config()


def test_no_key_of_ours_has_the_name_of_a_services_variable() -> None:
    services = set(service_variables("LAMBDA_SIDECAR", "10.96.0.7"))
    assert services.isdisjoint(f"LAMBDA_SIDECAR_{field.name.upper()}" for field in dataclasses.fields(Config))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml: No such file or directory"):
        load_config(tmp_path / "nothing.toml", {})
