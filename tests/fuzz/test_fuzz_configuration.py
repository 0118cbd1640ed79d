"""Configurations as people may write them: taken whole, or refused with a sentence that names the place.

Each test's name is the sentence that it proves."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lambda_sidecar.config.config import CONCURRENCY_MAX, SOCKET_PATH_MAX, Config, ConfigError, load_config

ROLE = "arn:aws:iam::123456789012:role/r"
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NUMBERS = st.integers(-2, 10**6) | st.sampled_from(
    [2**63 - 1, -(2**63), 0.5, -0.0, 1e308, 900, 43_200, 100_001]
)
SCALARS = st.booleans() | NUMBERS | TEXT | st.sampled_from(["inf", "nan"]).map(float)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
LIKELY: dict[str, list[Any]] = {
    "socket": ["/run/s.sock", "s.sock", "", "/" + "x" * 107, "/a\0b", "/ü"],
    "region": ["us-east-1", "", "US", "us-east-1\n"],
    "account_id": ["123456789012", "1", "\u0661" * 12, "123456789012\n"],
    "function_name_format": ["arn", "name", "x"],
    "log_level": ["info", "INFO"],
    "log_format": ["json", "xml"],
    "aws_default_lambda_role": [ROLE, "r"],
    "associated_roles": [[ROLE], [], [ROLE, "r"], ROLE],
    "external_id": ["abc", "a", "é" * 3],
    "role_duration_seconds": [900, 899],
    "role_rules": [[], [{"account": "a@%", "role": ROLE}], [{"account": "a"}], {}, [1]],
    "allow": [
        [],
        [{"account": "a@%"}],
        [{"account": "'a'@'%'", "function": "f*"}],
        [{"account": "a@%", "function": "a:b:c"}],
    ],
    "metrics": [{}, {"listen": "127.0.0.1:9"}, {"listen": "x"}, 1],
    "outbox": [
        {},
        {"mysql_socket": "/s"},
        {"host": "localhost", "port": 0},
        {"host": "h", "mysql_socket": "/s"},
    ],
    "local": [{}, {"functions": "."}, {"functions": "a\0b"}, {"functions": ".", "port": -1}],
}
KEYS = [*Config.__dataclass_fields__, "Socket", ""]


def toml(value: Any) -> str:
    """TOML's text of a value. JSON's strings are TOML's, but for DEL."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower()


@st.composite
def files(draw: st.DrawFn) -> str:
    keys = draw(st.lists(st.sampled_from(KEYS), max_size=4, unique=True))
    chosen = {key: draw(st.sampled_from(LIKELY[key]) | ANY if key in LIKELY else ANY) for key in keys}
    return "\n".join(f"{toml(key)} = {toml(value)}" for key, value in chosen.items())


def read(text: bytes, environment: dict[str, str]) -> Config | None:
    """None where it is refused, as it should be: in one line that names the file, or the variable."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sidecar.toml")
        path.write_bytes(text)
        try:
            config = load_config(path, environment)
        except ConfigError as refusal:
            said = str(refusal)
            assert said.startswith((str(path), "environment")), said
            return None
        assert config.local is None or config.local.functions.is_dir()
        return config


def check(config: Config) -> None:
    socket = str(config.socket)
    assert Path(socket).is_absolute()
    assert len(socket.encode()) <= SOCKET_PATH_MAX
    assert "\0" not in socket, "no path has a NUL"
    assert config.account_id is None or (len(config.account_id) == 12 and config.account_id.isascii())
    assert 1 <= config.max_concurrency <= CONCURRENCY_MAX
    assert 0 <= config.drain_seconds <= 900
    assert 0 < config.connect_timeout_seconds <= 60
    assert 0 < config.throttled_seconds <= 900
    assert not config.access.associated_roles or set(config.access.roles().values()) <= set(
        config.associated_roles
    )


@given(files())
def test_a_file_is_taken_whole_or_refused_in_a_sentence(text: str) -> None:
    config = read(text.encode(), {})
    if config is not None:
        check(config)


@given(st.binary(max_size=60) | files().map(lambda text: text.encode("utf-16")))
def test_bytes_that_are_no_toml_are_refused_in_a_sentence(text: bytes) -> None:
    config = read(text, {})
    if config is not None:
        check(config)


VARIABLES = st.sampled_from(
    [f"LAMBDA_SIDECAR_{key.upper()}" for key in KEYS] + ["LAMBDA_SIDECAR_PORT", "PATH"]
)
# The system's: neither NUL nor, in a name, an equals sign.
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(
    [
        "1",
        "1e3",
        "0x10",
        "\u0661",
        "nan",
        "inf",
        "true",
        "TRUE",
        "a b",
        ROLE,
        "-1",
        "1_0",
        " 5 ",
        "tcp://10.0.0.1:80",
    ]
)


@given(st.dictionaries(VARIABLES, VALUES, max_size=3), files())
def test_an_environment_is_taken_whole_or_refused_in_a_sentence(
    environment: dict[str, str], text: str
) -> None:
    config = read(text.encode(), environment)
    if config is not None:
        check(config)
