"""The configuration of /metrics: what is wrong in it is named.

Each test's name is the sentence that it proves."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambda_sidecar.config.config import ConfigError, load_config


@pytest.mark.parametrize(
    ("listen", "message"),
    [
        ("'9464'", "listen: an IP address and a port are expected, as in 127.0.0.1:9464 or [::1]:9464, not '9464'"),
        ("'localhost:9464'", "not 'localhost:9464'"),
        ("'::1:9464'", "not '::1:9464'"),
        ("'127.0.0.1:99999'", "listen: the port is 99999; it must be 0 to 65535"),
        ("9464", "metrics: listen: a string is expected, not 9464"),
    ],
)  # fmt: skip
def test_a_wrong_address_is_named(tmp_path: Path, listen: str, message: str) -> None:
    path = tmp_path / "sidecar.toml"
    path.write_text(f"[metrics]\nlisten = {listen}\n")
    with pytest.raises(ConfigError) as raised:
        load_config(path, {})
    assert str(raised.value).startswith(f"{path}: metrics: ")
    assert message in str(raised.value)


def test_a_wrong_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sidecar.toml"
    path.write_text("[metrics]\nport = 9464\n")
    with pytest.raises(ConfigError, match="metrics: unknown key 'port'; known are listen"):
        load_config(path, {})
