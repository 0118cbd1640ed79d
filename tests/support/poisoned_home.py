"""A home folder whose .aws/ says what no test may ever hear: a region, a profile and keys.

Knows the files' names; nothing of who reads them."""

from __future__ import annotations

from pathlib import Path

POISONED_REGION = "xx-poison-1"
POISONED_KEY = "AKIDPOISON"


def poisoned_home(directory: Path) -> Path:
    """Written into `directory`."""
    files = directory / ".aws"
    files.mkdir()
    keys = f"aws_access_key_id = {POISONED_KEY}\naws_secret_access_key = poison\n"
    files.joinpath("config").write_text(
        f"[default]\nregion = {POISONED_REGION}\n[profile poison]\nregion = {POISONED_REGION}\n{keys}"
    )
    files.joinpath("credentials").write_text(f"[default]\n{keys}")
    return directory
