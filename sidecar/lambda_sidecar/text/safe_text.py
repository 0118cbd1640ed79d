"""Text made safe for people: nothing in it ends a line, steers a terminal or turns the direction of writing.

Pure; the one place that says so, for logs, errors and terminals. Knows nothing of where a text goes."""

from __future__ import annotations

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    r"""`text` with everything that Unicode does not call printable written out: \n, \x1b, \u202e. That is
    control characters (C0 and C1), format characters (those that turn the direction, those of no width),
    line and paragraph separators, halves of surrogate pairs, and what is not assigned."""
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() else _SHORT.get(each) or escaped(each) for each in text])


def escaped(character: str) -> str:
    r"""One character, as \xNN, \uNNNN or \UNNNNNNNN."""
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
