"""Decides from an inventory what has to be done about each object and each account.

Pure; must not know where the inventory came from, nor how findings are printed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lambda_sidecar.install.options import Account
from lambda_sidecar.migrate.callers import Callers, Needs, callers
from lambda_sidecar.migrate.grants import AURORA_ROLES, ROLE, for_stock_mysql
from lambda_sidecar.migrate.inventory import Inventory, SqlObject

_GONE_MODE = "NO_AUTO_CREATE_USER"
_EXECUTE = "GRANT EXECUTE ON PROCEDURE mysql.lambda_async TO {};"
# The privilege to run each kind of object, as SHOW GRANTS names it.
_RUN = {"procedure": "EXECUTE", "function": "EXECUTE", "view": "SELECT"}


@dataclass(frozen=True)
class Finding:
    """kind        grant; edit; or look, where only the owner can decide
    statements  the SQL, or the command, that does it; none where a text has to be written anew"""

    kind: str
    text: str
    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """An object or an account: notes about it, and findings, of which there are none if it works
    unchanged."""

    title: str
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]


def blocks(inventory: Inventory) -> list[Block]:
    """The blocks in a stable order: what could not be read, sql_mode, objects by kind and name, accounts."""
    found = callers(inventory.objects)
    objects = sorted(inventory.objects, key=lambda one: (one.kind, one.schema, one.name))
    made = [_unread(inventory), _sql_mode(inventory)]
    made += [_object(one, found, inventory) for one in objects]
    made += [_account(one, lines) for one, lines in sorted(inventory.grant_lines.items(), key=_by_name)]
    return [block for block in made if block is not None]


def _by_name(item: tuple[Account, object]) -> str:
    return str(item[0])


def _unread(inventory: Inventory) -> Block | None:
    looks = [Finding("look", sentence) for sentence in inventory.unread]
    looks += [
        Finding("look", f"the body of {one} may not be read by this account")
        for one in inventory.objects
        if one.text is None
    ]
    return Block("could not be read", (), tuple(looks)) if looks else None


def _sql_mode(inventory: Inventory) -> Block | None:
    places = [str(one) for one in inventory.objects if _GONE_MODE in one.sql_mode]
    places += [place for place, modes in inventory.sql_modes.items() if _GONE_MODE in modes]
    if not places:
        return None
    shown = ", ".join(sorted(places)[:5]) + (", …" if len(places) > 5 else "")
    edit = Finding(
        "edit",
        f"MySQL 8.0 and newer refuse a dump whose SET sql_mode has {_GONE_MODE} (error 1231); take it out",
        (f"sed -i -E '/sql_mode/I {{ s/{_GONE_MODE},//g; s/,?{_GONE_MODE}//g }}' dump.sql",),
    )
    return Block(f"sql_mode of {len(places)} place(s)", (f"it stands in {shown}",), (edit,))


def _object(one: SqlObject, found: Callers, inventory: Inventory) -> Block | None:
    needs = found.needs(one)
    edits = [Finding("edit", edit) for edit in found.usage(one).edits]
    notes = found.notes(one)
    if not (notes or edits):
        return None
    findings = [*_grants(one, needs, inventory), *edits]
    return Block(f"{one}{_context(one)}", tuple(notes), tuple(findings))


def _context(one: SqlObject) -> str:
    if one.kind == "view":
        return ", runs as the account that reads it"
    if one.runs_as_caller:
        return ", SQL SECURITY INVOKER"
    return f", runs as {one.definer}" if one.definer else ""


def _grants(one: SqlObject, needs: Needs, inventory: Inventory) -> Iterator[Finding]:
    if not needs:
        return
    if one.runs_as_caller:
        yield from _of_sessions(one, needs, inventory)
    elif one.definer is None:
        yield Finding("look", "its definer is not known; it needs what is said here of definers")
    else:
        yield from _of_definer(one.definer, needs, inventory)


def _of_definer(definer: Account, needs: Needs, inventory: Inventory) -> Iterator[Finding]:
    holdings = inventory.holdings
    if holdings is None:
        yield from _missing(definer, needs, inventory, who="its definer")
        return
    if definer not in holdings.grants:
        yield Finding(
            "grant",
            f"its definer {definer} does not exist here (error 1449): create it, or change the definer",
            (f"CREATE USER {definer} ACCOUNT LOCK;",),
        )
        yield from _missing(definer, needs, inventory, who="its definer")
        return
    lacks = Needs(
        invoke=needs.invoke and not holdings.may_invoke(definer, all_roles=needs.sets_role),
        execute=needs.execute
        and not holdings.may("EXECUTE", definer, "mysql", "lambda_async", all_roles=needs.sets_role),
    )
    yield from _missing(definer, lacks, inventory, who="its definer")


def _of_sessions(one: SqlObject, needs: Needs, inventory: Inventory) -> Iterator[Finding]:
    """The needs of each account whose grants let it run the object. An account that runs it inside a
    definer's object is found with that object."""
    holdings = inventory.holdings
    if holdings is None:
        wanted = "INVOKE_LAMBDA" if needs.invoke else "EXECUTE on mysql.lambda_async"
        yield Finding("look", f"each account that runs it needs {wanted}, active in its session")
        return
    for account in sorted(holdings.sessions, key=str):
        every = needs.sets_role or holdings.all_roles_on_login
        if not holdings.may(_RUN[one.kind], account, one.schema, one.name, all_roles=every):
            continue
        lacks = Needs(
            invoke=needs.invoke and not holdings.may_invoke(account, all_roles=every),
            execute=needs.execute
            and not holdings.may("EXECUTE", account, "mysql", "lambda_async", all_roles=every),
        )
        yield from _missing(account, lacks, inventory, who="an account that may run it")


def _missing(account: Account, lacks: Needs, inventory: Inventory, who: str) -> Iterator[Finding]:
    if lacks.invoke:
        yield Finding(
            "grant",
            f"{who}, {account}, needs the privilege INVOKE_LAMBDA, as a default role",
            tuple(_role_statements(account, inventory)),
        )
    if lacks.execute:
        yield Finding(
            "grant",
            f"{who}, {account}, needs EXECUTE on mysql.lambda_async and nothing else for it",
            (_EXECUTE.format(account),),
        )


def _role_statements(account: Account, inventory: Inventory) -> Iterator[str]:
    holdings = inventory.holdings
    held = holdings.roles(account) if holdings else ()
    if ROLE not in held:
        yield f"GRANT {ROLE.user} TO {account};"
    # SET DEFAULT ROLE replaces the whole list.
    others = holdings.default_roles.get(account, ()) if holdings else ()
    listed = [str(role) for role in others if role != ROLE] + [ROLE.user]
    yield f"SET DEFAULT ROLE {', '.join(listed)} TO {account};"


def _account(account: Account, lines: tuple[str, ...]) -> Block | None:
    if account.user.upper() in AURORA_ROLES or account == ROLE:
        return None  # Aurora's own; the accounts that hold them are reported
    findings = []
    for new, unknown in map(for_stock_mysql, lines):
        if unknown:
            left = (f"{new.strip()};",) if new else ("-- nothing is left of this GRANT: leave it out",)
            findings.append(Finding("edit", f"stock MySQL does not know {', '.join(unknown)}", left))
    return Block(f"grants of {account}", (), tuple(findings)) if findings else None
