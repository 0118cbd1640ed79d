"""`lambda-sidecar check`: what a call would meet, step by step, each with its outcome and what to do.

The running sidecar looks, not this process, which may have another environment, account and way to AWS.
Changes nothing, and invokes nothing (a DryRun does not)."""

from __future__ import annotations

import argparse
import asyncio

from lambda_sidecar.check.report import Report, Say
from lambda_sidecar.check.sidecar import ask_sidecar
from lambda_sidecar.config.config import load_config
from lambda_sidecar.process.socket_check import problem


def check(options: argparse.Namespace, say: Say) -> bool:
    """Prints the steps; whether all is well. Raises ConfigError, mostly before anything is printed."""
    config = load_config(options.config)
    socket = options.sidecar_socket or config.socket
    function, account = options.function or "", options.account
    report = Report(say)
    found = problem(socket)
    # The others are imported where they are wanted: they bring the SDK, or MySQL's connector, with them.
    if found is not None:
        from lambda_sidecar.check.ourselves import try_settings

        asyncio.run(try_settings(config))
    source = options.config if options.config is not None else "defaults and the environment"
    report.ok("configuration", str(source))
    sidecar = ask_sidecar(socket, found, function, account, report, configuration=options.config)
    if sidecar is None:
        from lambda_sidecar.check.ourselves import look_ourselves

        asyncio.run(look_ourselves(config, function, account, report))
    elif config.outbox is not None and "outbox" not in sidecar.steps:
        report.warn("outbox", "the sidecar runs without [outbox]", "restart it: a reload does not turn it on")
    if options.mysql:
        from lambda_sidecar.check.server import check_server

        check_server(options, report, sidecar)
    return not report.failed
