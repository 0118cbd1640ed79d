"""The socket as `lambda-sidecar check` looks at it: who serves it, and who could connect.

Whoever can open the socket can claim any account, so its group and folder are the boundary; knows no AWS."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

from lambda_sidecar.calls.finding import Findings
from lambda_sidecar.contract.client import NoAnswer, is_serving

# mysqld's account where Oracle's, Percona's and Debian's packages install it.
MYSQL_USER = "mysql"


def look_at_rights(path: Path, report: Findings) -> None:
    """Who may connect. Asks the machine's user database, which may be slow."""
    try:
        status, folder = path.stat(), path.parent.stat()
    except OSError as error:
        report.fail("socket", f"{error.filename}: {error.strerror}", _START)
        return
    if not stat.S_ISSOCK(status.st_mode):
        report.fail("socket", f"{path} is not a socket", "name the sidecar's socket")
        return
    report.ok("socket", f"{_described(status)}; its folder {_described(folder)}")
    if status.st_mode & stat.S_IWOTH and folder.st_mode & stat.S_IXOTH:
        report.fail(
            "socket",
            "every account of this machine can connect and claim any MySQL account",
            "take the rights of others from the socket's folder (docs/access.md)",
        )
        return
    _look_at_group(status, report)


def _look_at_group(status: os.stat_result, report: Findings) -> None:
    group, members = _group(status.st_gid), _members(status.st_gid)
    others = sorted(members - {MYSQL_USER, "root", _user(status.st_uid)})
    if _is_account(MYSQL_USER) and MYSQL_USER not in members and _user(status.st_uid) != MYSQL_USER:
        report.warn(
            "group",
            f"the account {MYSQL_USER} is not in {group}: if mysqld runs as {MYSQL_USER}, it cannot connect",
            f"run the sidecar in mysqld's group (Group= in its unit), or put {MYSQL_USER} into {group}",
        )
    if status.st_mode & stat.S_IWGRP and others:
        report.warn(
            "group", f"{group} has members besides {MYSQL_USER}, who can connect too: {', '.join(others)}"
        )
    else:
        report.ok("group", f"nobody but {MYSQL_USER}, root and the sidecar is in {group}")


_START = "start the sidecar (systemctl start lambda-sidecar), or name its socket"


def described(path: Path) -> str:
    """The file's owner, group and mode. Raises OSError."""
    return _described(path.stat())


def problem(path: Path) -> str | None:
    """None if the sidecar says that it serves."""
    try:
        return None if is_serving(path) else "answers that it does not serve"
    except NoAnswer as error:
        if not os.access(path, os.F_OK):
            return "is not there, or in a folder that this account may not enter; is the sidecar running?"
        if not os.access(path, os.W_OK):
            return "this account may not connect; run the check as mysql or root"
        return f"does not answer: {error.details}"


def _described(status: os.stat_result) -> str:
    owner, group, mode = _user(status.st_uid), _group(status.st_gid), stat.S_IMODE(status.st_mode)
    return f"belongs to {owner}, group {group}, mode {mode:04o}"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _is_account(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _members(group: int) -> set[str]:
    """Those listed in the group, and those whose own group it is."""
    try:
        listed = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        listed = set()
    return listed | {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == group}
