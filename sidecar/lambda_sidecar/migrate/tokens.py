"""SQL text as tokens, by MySQL's own lexical rules.

Knows quotation marks, comments and sql_mode's effect on both; must not know what a statement means."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection
from dataclasses import dataclass


class Kind(enum.Enum):
    """NAME is an identifier in quotation marks, WORD one without, or a keyword."""

    WORD = "word"
    NAME = "name"
    STRING = "string"
    NUMBER = "number"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is what it stands for, without its quotation marks; [start, end) is where it was written."""

    kind: Kind
    text: str
    start: int
    end: int

    def says(self, *words: str) -> bool:
        """Whether it is one of these keywords or marks, in any case."""
        return self.kind in (Kind.WORD, Kind.MARK) and self.text.upper() in words

    @property
    def is_identifier(self) -> bool:
        return self.kind in (Kind.WORD, Kind.NAME)


# /*!50003 … */ is code for MySQL: its brackets are dropped, what is in them stays. Manual, "Comments".
_PATTERN = r"""
    (?P<dropped> \s+ | /\*!\d{{0,6}} | \*/ | /\*.*?(?:\*/|\Z) | \#[^\n]* | --(?=[\s\x00-\x1f]|\Z)[^\n]* )
  | (?P<single> '(?:{inside_single})*(?:'|\Z) )
  | (?P<double> "(?:{inside_double})*(?:"|\Z) )
  | (?P<name>   `(?:[^`]|``)*(?:`|\Z) )
  | (?P<number> \d+(?:\.\d*)?(?:[eE][+-]?\d+)?(?![\w$]) )
  | (?P<word>   [\w$]+ )
  | (?P<mark>   . )
"""


def _compiled(inside_single: str, inside_double: str) -> re.Pattern[str]:
    text = _PATTERN.format(inside_single=inside_single, inside_double=inside_double)
    return re.compile(text, re.VERBOSE | re.DOTALL)


_USUAL = _compiled(r"[^'\\]|\\.|''", r"[^\"\\]|\\.|\"\"")
_NO_BACKSLASH = _compiled(r"[^']|''", r"[^\"]|\"\"")
_KINDS = {"name": Kind.NAME, "number": Kind.NUMBER, "word": Kind.WORD, "mark": Kind.MARK}


def tokens(text: str, sql_mode: Collection[str] = ()) -> list[Token]:
    """The tokens of `text`; a comment or literal without its end reaches to the end of the text.

    sql_mode  modes in capitals: ANSI_QUOTES and NO_BACKSLASH_ESCAPES are looked at"""
    pattern = _NO_BACKSLASH if "NO_BACKSLASH_ESCAPES" in sql_mode else _USUAL
    quoted = Kind.NAME if {"ANSI_QUOTES", "ANSI"} & set(sql_mode) else Kind.STRING
    kinds = {**_KINDS, "single": Kind.STRING, "double": quoted}
    return [
        Token(kinds[match.lastgroup], _plain(match), match.start(), match.end())
        for match in pattern.finditer(text)
        if match.lastgroup is not None and match.lastgroup != "dropped"
    ]


def _plain(match: re.Match[str]) -> str:
    text = match[0]
    if match.lastgroup in ("single", "double", "name"):
        mark = text[0]
        return text[1:].removesuffix(mark).replace(mark * 2, mark)
    return text
