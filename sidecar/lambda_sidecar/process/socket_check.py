"""The socket as `lambda-sidecar check` looks at it: who serves it, and who could connect.

Whoever can open the socket can claim any account, so its group and folder are the boundary; knows no AWS."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Protocol

from lambda_sidecar.contract.client import NoAnswer, is_serving

# mysqld's account where Oracle's, Percona's and Debian's packages install it.
MYSQL_USER = "mysql"


class Report(Protocol):
    def ok(self, step: str, text: str) -> None: ...
    def warn(self, step: str, text: str) -> None: ...
    def fail(self, step: str, text: str) -> None: ...


def look_at_socket(path: Path, report: Report) -> None:
    try:
        status, folder = path.stat(), path.parent.stat()
    except OSError as error:
        report.fail("socket", f"{error.filename}: {error.strerror}; is the sidecar running?")
        return
    if not stat.S_ISSOCK(status.st_mode):
        report.fail("socket", f"{path} is not a socket")
        return
    if (found := problem(path)) is None:
        report.ok("socket", f"{path} answers: serving")
    else:
        report.fail("socket", f"{path}: {found}")
    report.ok("socket", f"{_described(status)}; its folder {_described(folder)}")
    if status.st_mode & stat.S_IWOTH and folder.st_mode & stat.S_IXOTH:
        report.fail("socket", "every account of this machine can connect and claim any MySQL account")
    others = sorted(_members(status.st_gid) - {MYSQL_USER, "root", _user(status.st_uid)})
    group = _group(status.st_gid)
    if status.st_mode & stat.S_IWGRP and others:
        report.warn(
            "group", f"{group} has members besides {MYSQL_USER}, who can connect too: {', '.join(others)}"
        )
    else:
        report.ok("group", f"nobody but {MYSQL_USER}, root and the sidecar is in {group}")


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


def _members(group: int) -> set[str]:
    """Those listed in the group, and those whose own group it is."""
    try:
        listed = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        listed = set()
    return listed | {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == group}
