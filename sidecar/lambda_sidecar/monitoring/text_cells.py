"""Text for a terminal: what could steer it is made visible, and columns are counted as it counts them.

Pure; knows nothing of what is shown."""

from __future__ import annotations

import unicodedata

from lambda_sidecar.text.safe_text import escaped


def harmless(text: str) -> str:
    r"""`text` with everything that is not printable written as \xNN or \uNNNN. Combining characters
    too, which text/safe_text.py lets pass: a terminal may pile any number of them onto one cell."""
    return "".join(character if _is_harmless(character) else escaped(character) for character in text)


def width(text: str) -> int:
    """The columns that harmless text takes: East Asian wide characters are two (UAX #11)."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def fitted(text: str, columns: int) -> str:
    """Harmless text, cut at its end to `columns` at most; … says so."""
    if width(text) <= columns:
        return text
    kept, used = [], 1  # the … itself
    for character in text:
        used += width(character)
        if used > columns:
            break
        kept.append(character)
    return "".join(kept) + "…" if columns > 0 else ""


def padded(text: str, columns: int) -> str:
    """Exactly `columns` wide."""
    text = fitted(text, columns)
    return text + " " * (columns - width(text))


def _is_harmless(character: str) -> bool:
    return character.isprintable() and not unicodedata.category(character).startswith("M")
