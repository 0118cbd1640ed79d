"""Patterns with * and ?, as rules write them for accounts and for functions.

Pure; knows nothing of the text that is matched."""

from __future__ import annotations

import re


def wildcard(text: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """A pattern where * stands for any characters, ? for one, and everything else for itself."""
    pieces = {"*": ".*", "?": "."}
    source = "".join(pieces.get(character) or re.escape(character) for character in text)
    return re.compile(source, flags | re.DOTALL)
