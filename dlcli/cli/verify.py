"""The `dlcli verify` command: retraining of a run and comparison of its files."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from dlcli.cli.options import DataRootOption, JsonOption, ProgressOption, QuietOption, RunArgument
from dlcli.cli.output import choose_run, open_listeners, print_json, print_result
from dlcli.cli.processes import hide_warnings_of_torch, open_rank_listeners, start_processes
from dlcli.cli.voice import is_one_of_several, prints_result
from dlcli.errors import CheckFailed, one_line

if TYPE_CHECKING:
    from dlcli.api import VerifyResult


def verify_command(
    run: RunArgument = None,
    data_root: DataRootOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    progress: ProgressOption = "auto",
) -> None:
    """Retrain a run from its own record and compare the results bit by bit. Exits with 6 if anything differs.

    A run of several processes is retrained by as many, unless `training.shards` makes their number unimportant.

    Example: dlcli verify digits

    Example: dlcli verify runs/mine
    """
    hide_warnings_of_torch()
    from dlcli import api
    from dlcli.verification.verify import ProcessesNeeded

    if is_one_of_several():
        with open_rank_listeners(progress, quiet=quiet) as listeners:
            result = api.verify(run, data_root=data_root, listeners=listeners)
        if prints_result():
            _print(result, json=json)
        return
    name = choose_run(run, quiet=quiet)
    try:
        with open_listeners(progress, quiet=quiet) as listeners:
            result = api.verify(name, data_root=data_root, listeners=listeners)
    except ProcessesNeeded as needed:
        arguments = [*sys.argv[1:], *([name] if run is None else [])]
        start_processes(arguments, needed.count, needed.config, lambda: "run the same command again")
        return
    _print(result, json=json)


def _print(result: VerifyResult, *, json: bool) -> None:
    """Print the result.

    Raises:
        CheckFailed: If anything differs.
    """
    failure = None
    if not result.identical:
        failure = CheckFailed(f"retraining {result.run} gave different results", hint=_explain(result))
    if json:
        print_json(asdict(result), failure=failure)
    else:
        print_result(*_lines(result))
    if failure:
        raise failure


def _lines(result: VerifyResult) -> list[str]:
    retrained = f"{result.epochs} epochs, {result.step:,} steps retrained"
    if result.identical:
        lines = [f"verified  {retrained}: metrics and parameters are bit-identical"]
    else:
        changes = [
            f"{name} was {change['then']}, is now {change['now']}" for name, change in result.environment.items()
        ]
        lines = [
            f"differs   {retrained}",
            *(f"          {one_line(difference)}" for difference in result.differences),
            *(f"changed   {change}" for change in changes),
        ]
    compared = f"compared  {', '.join(result.compared)}"
    return [
        f"run       {one_line(result.run)}",
        *lines,
        compared,
        *(f"unchecked {item}" for item in result.not_compared),
    ]


def _explain(result: VerifyResult) -> str:
    if result.environment:
        return (
            f"identical bits are only guaranteed in the same environment; these differ: {', '.join(result.environment)}"
        )
    return "the environment is the same; check whether the data or files of the run have changed"
