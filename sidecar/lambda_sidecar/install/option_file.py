"""MySQL's option files, read as its own clients read them (mysys/my_default.cc of the server's source).

Knows the files' syntax; must not know what an option means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lambda_sidecar.install.errors import InstallError

# `mysql --help` of Debian's and Oracle's packages, "Default options are read from the following files".
DEFAULT_FILES = ("/etc/my.cnf", "/etc/mysql/my.cnf", "~/.my.cnf")
# my_default.cc, max_recursion_level
_DEPTH_MAX = 10
_WRITABLE_BY_OTHERS = 0o002
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "s": " ", '"': '"', "'": "'", "\\": "\\"}


@dataclass(frozen=True)
class Setting:
    """One option as it was written. `name` has dashes and no leading ones, `value` is None where there is no
    `=`, `source` is the file, or the command line."""

    name: str
    value: str | None
    source: str


def read(path: Path, groups: frozenset[str], depth: int = 0) -> Iterator[Setting]:
    """The settings of these groups in the file's order, those of included files in their place. Raises
    InstallError; the message names the file and quotes no value."""
    if depth > _DEPTH_MAX:
        raise InstallError(f"{path}: files include each other more than {_DEPTH_MAX} deep")
    group: str | None = None
    for number, line in enumerate(_lines(path), 1):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if text[0] == "!":
            for included in _included(path, number, text):
                yield from read(included, groups, depth + 1)
        elif text[0] == "[":
            name, bracket, _ = text[1:].partition("]")
            if not bracket:
                raise InstallError(f"{path}: line {number}: the group's name has no end")
            group = name.rstrip()
        elif group is None:
            raise InstallError(f"{path}: line {number}: there is no [group] above this option")
        elif group in groups:
            yield _setting(path, text)


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_mode & _WRITABLE_BY_OTHERS and path.is_file():
            raise InstallError(f"{path} may be written by everybody: MySQL's clients do not read such a file")
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise InstallError(f"{path}: {error.strerror}") from None


def _included(path: Path, number: int, text: str) -> list[Path]:
    words = text.split(maxsplit=1)
    if len(words) == 2 and words[0] == "!include":
        return [Path(words[1])]
    if len(words) == 2 and words[0] == "!includedir":
        try:
            return sorted(entry for entry in Path(words[1]).iterdir() if entry.suffix == ".cnf")
        except OSError as error:
            raise InstallError(f"{path}: line {number}: {words[1]}: {error.strerror}") from None
    raise InstallError(f"{path}: line {number}: {words[0]} is no directive; !include and !includedir are")


def _setting(path: Path, text: str) -> Setting:
    name, equals, value = _without_comment(text).partition("=")
    # MySQL takes both for the same (my_getopt.cc).
    name = name.strip().replace("_", "-")
    return Setting(name, _plain(value.strip()) if equals else None, str(path))


def _without_comment(text: str) -> str:
    """A # outside quotation marks begins a comment anywhere in the line."""
    quote, escaped = "", False
    for position, character in enumerate(text):
        if character in "'\"" and not escaped and quote in ("", character):
            quote = "" if quote else character
        if not quote and character == "#":
            return text[:position]
        escaped = bool(quote) and character == "\\" and not escaped
    return text


def _plain(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    pieces: list[str] = []
    characters = iter(value)
    for character in characters:
        following = next(characters, None) if character == "\\" else None
        if following is None:
            pieces.append(character)
        else:
            pieces.append(_ESCAPES.get(following, "\\" + following))
    return "".join(pieces)


def read_defaults(
    *, only: Path | None, extra: Path | None, none: bool, names: tuple[str, ...]
) -> list[Setting]:
    """The settings of the groups `names` in the order in which MySQL's clients read them; the last one wins.

    only   --defaults-file: no other file is read
    extra  --defaults-extra-file: read after the machine's files, before the user's own
    none   --no-defaults: none is read
    MYSQL_GROUP_SUFFIX names groups that are read as well ([client_suffix])."""
    if none:
        return []
    suffix = os.environ.get("MYSQL_GROUP_SUFFIX", "")
    groups = frozenset(names) | {name + suffix for name in names}
    if only is not None:
        return list(read(only, groups))
    *machine, user = (Path(name).expanduser() for name in DEFAULT_FILES)
    files = [path for path in machine if path.exists()]
    files += [extra] if extra is not None else []
    files += [user] if user.exists() else []
    return [setting for path in files for setting in read(path, groups)]
