"""The inventory of a dump, as mysqldump writes it, or of a file of grants.

Reads line by line and skips the rows of tables. Does not know what the definers in a dump hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lambda_sidecar.install.options import Account
from lambda_sidecar.migrate.inventory import SYSTEM_SCHEMAS, Inventory, SqlObject, modes
from lambda_sidecar.migrate.tokens import Kind, Token, tokens

_KINDS = {
    "PROCEDURE": "procedure",
    "FUNCTION": "function",
    "TRIGGER": "trigger",
    "EVENT": "event",
    "VIEW": "view",
}
_ROWS = ("INSERT INTO ", "REPLACE INTO ", "INSERT  IGNORE INTO ")


def read_dump(lines: Iterable[str]) -> Inventory:
    reader = _Reader()
    for statement in statements(lines):
        reader.read(statement)
    return Inventory(
        objects=tuple(reader.objects.values()),
        grant_lines={one: tuple(texts) for one, texts in reader.grants.items()},
        sql_modes=reader.sql_modes,
    )


def statements(lines: Iterable[str]) -> Iterator[str]:
    """The statements, as the mysql client splits them, without rows of tables. Each ends at a line's end."""
    delimiter = ";"
    pending: list[str] = []
    in_rows = False
    for line in lines:
        words = line.split(maxsplit=2)
        if in_rows or (not pending and line.startswith(_ROWS)):
            in_rows = not line.rstrip().endswith(delimiter)
        elif not pending and words and words[0].upper() == "DELIMITER":
            delimiter = words[1]
        elif pending or (words and not line.startswith("--")):
            pending.append(line)
            if line.rstrip().endswith(delimiter):
                yield "".join(pending).rstrip().removesuffix(delimiter)
                pending = []
    if pending:
        yield "".join(pending)


class _Reader:
    def __init__(self) -> None:
        self.schema = ""
        self.sql_mode: frozenset[str] = frozenset()
        self.sql_modes: dict[str, frozenset[str]] = {}
        # mysqldump creates a view twice: first as something with the same columns.
        self.objects: dict[tuple[str, str, str], SqlObject] = {}
        self.grants: dict[Account, list[str]] = {}

    def read(self, statement: str) -> None:
        found = tokens(statement, self.sql_mode)
        if not found:
            return
        if found[0].says("USE") and len(found) > 1:
            self.schema = found[1].text
        elif found[0].says("SET"):
            self._set(found)
        elif found[0].says("GRANT"):
            if (grantee := _grantee(found)) is not None:
                self.grants.setdefault(grantee, []).append(" ".join(statement.split()))
        elif found[0].says("CREATE"):
            self._create(statement, found)

    def _set(self, found: list[Token]) -> None:
        for name, equals, value in zip(found, found[1:], found[2:], strict=False):
            if name.says("SQL_MODE") and equals.says("=") and value.kind is Kind.STRING:
                self.sql_mode = modes(value.text)
                self.sql_modes[f"SET sql_mode = '{value.text}'"] = self.sql_mode

    def _create(self, statement: str, found: list[Token]) -> None:
        place = next((place for place, token in enumerate(found) if token.says(*_KINDS, "TABLE")), None)
        if place is None or found[place].says("TABLE"):
            return
        head = found[:place]
        kind = _KINDS[found[place].text.upper()]
        place += 1
        while place < len(found) and found[place].says("IF", "NOT", "EXISTS"):
            place += 1
        if place >= len(found):
            return
        schema, name = self.schema, found[place].text
        if place + 2 < len(found) and found[place + 1].says("."):
            schema, name = name, found[place + 2].text
            place += 2
        if schema.lower() in SYSTEM_SCHEMAS:
            return
        self.objects[kind, schema, name] = SqlObject(
            kind=kind,
            schema=schema,
            name=name,
            definer=_definer(head),
            text=statement[found[place].end :],
            invoker=_is_invoker(found),
            sql_mode=self.sql_mode,
        )


def _definer(head: list[Token]) -> Account | None:
    for place, token in enumerate(head):
        if token.says("DEFINER") and place + 4 < len(head) + 1 and head[place + 1].says("="):
            return _account(head[place + 2 :])
    return None


def _grantee(found: list[Token]) -> Account | None:
    places = [place for place, token in enumerate(found) if token.says("TO")]
    return _account(found[places[0] + 1 :]) if places else None


def _account(found: list[Token]) -> Account | None:
    """The user@host at the beginning of `found`; a name alone is from any host. None for CURRENT_USER."""
    if not found or found[0].says("CURRENT_USER"):
        return None
    host = found[2].text if len(found) > 2 and found[1].says("@") else "%"
    return Account(found[0].text, host.lower())


def _is_invoker(found: list[Token]) -> bool:
    return any(
        one.says("SQL") and two.says("SECURITY") and three.says("INVOKER")
        for one, two, three in zip(found, found[1:], found[2:], strict=False)
    )
