"""The manual page and the shells' completions of lambda-sidecar, made from its argument parser.

Knows argparse and who reads it; nothing of where the files go."""

from __future__ import annotations

import argparse
import datetime
import os
from pathlib import Path

import shtab
from argparse_manpage.manpage import Manpage

from lambda_sidecar.cli import _parser

SHELLS = ("bash", "zsh")
_FILES = r"""
.SH FILES
.TP
.I /etc/lambda\-sidecar/sidecar.toml
The configuration that the service reads, with every key and its default.
.TP
.I /etc/lambda\-sidecar/environment
The service's environment: region, proxies, credentials.
.TP
.I /etc/credstore/lambda\-sidecar.aws
Credentials, in the format of ~/.aws/credentials; only the service sees them.
.TP
.I /run/lambda\-sidecar/sidecar.sock
The socket on which mysqld calls the sidecar.
.SH EXIT STATUS
0 if everything is done and well; 1 if something was refused, failed or is not well; 2 for wrong arguments or
a wrong configuration.
.SH SEE ALSO
.BR systemctl (1),
.BR journalctl (1),
/usr/share/doc/lambda\-udf
"""


def manual(version: str, day: datetime.date) -> str:
    """The page, in troff's man macros."""
    os.environ["COLUMNS"] = "80"  # argparse breaks lines where this terminal would
    page = Manpage(_parser(), format="single-commands-section")
    page.source = f"lambda-udf {version}"
    page.date = day.isoformat()
    page.manual = "lambda-udf"
    page.description = "the sidecar of lambda-udf: invokes AWS Lambda for MySQL, and installs its library"
    return str(page).replace("\nPOSITIONAL ARGUMENTS\n", "\nCOMMANDS\n") + _FILES


def completion(shell: str) -> str:
    """The script by which `shell` completes the command's arguments."""
    parser = _parser()
    _files_where_paths_are(parser)
    script: str = shtab.complete(parser, shell=shell)
    return script


def _files_where_paths_are(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _files_where_paths_are(command)
        elif action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
