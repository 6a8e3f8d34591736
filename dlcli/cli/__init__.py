"""Typer application: commands, global options, error display and exit codes. torch is imported only when needed."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, Any

import typer

from dlcli import __version__
from dlcli.cli import (
    bench,
    config,
    data,
    evaluate,
    explain,
    export,
    gradcheck,
    plot,
    predict,
    report,
    runs,
    study,
    sweep,
    train,
    verify,
)
from dlcli.cli.arguments import USAGE_ERROR, reject_repeated_options
from dlcli.cli.ending import check_stdout, check_working_folder, find_memory_shortage, record_output_errors
from dlcli.cli.failures import interruption_json, print_json_error, report_failure
from dlcli.cli.mistakes import explain_usage
from dlcli.cli.options import JsonOption, ProgressOption, QuietOption
from dlcli.cli.output import forget_printed_json, print_result
from dlcli.cli.processes import require_one_process
from dlcli.cli.room import guard_torch_import
from dlcli.cli.streams import open_streams
from dlcli.cli.voice import is_one_of_several, leave, shares_work
from dlcli.errors import DlcliError, UsageError
from dlcli.plots.importing import ignore_user_settings
from dlcli.signals import answer_signals

app = typer.Typer(
    name="dlcli",
    help="Train neural networks for regression and classification from YAML files.\n\n"
    "Example: dlcli train digits\n\nExample: dlcli config init --data digits -o mine.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
TRAIN, RESULTS, LECTURE, CHECKS, MANAGE = ("Train", "Results of a run", "Understand", "Check", "Configs, data and runs")
app.command("train", rich_help_panel=TRAIN)(train.train_command)
app.command("sweep", rich_help_panel=TRAIN)(sweep.sweep_command)
app.command("sweep-worker", hidden=True)(sweep.worker_command)
app.command("study", rich_help_panel=TRAIN)(study.study_command)
app.command("eval", rich_help_panel=RESULTS)(evaluate.eval_command)
app.command("predict", rich_help_panel=RESULTS)(predict.predict_command)
app.command("plot", rich_help_panel=RESULTS)(plot.plot_command)
app.command("report", rich_help_panel=RESULTS)(report.report_command)
app.command("export", rich_help_panel=RESULTS)(export.export_command)
app.command("explain", rich_help_panel=LECTURE)(explain.explain_command)
app.command("gradcheck", rich_help_panel=LECTURE)(gradcheck.gradcheck_command)
app.command("verify", rich_help_panel=CHECKS)(verify.verify_command)
app.command("bench", rich_help_panel=CHECKS)(bench.bench_command)
app.add_typer(config.app, name="config", rich_help_panel=MANAGE)
app.add_typer(data.app, name="data", rich_help_panel=MANAGE)
app.add_typer(runs.app, name="runs", rich_help_panel=MANAGE)
reject_repeated_options(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        print_result(f"dlcli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    json: JsonOption = False,
    quiet: QuietOption = False,
    progress: ProgressOption = "auto",
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Use the global options given before the command as defaults of the command's own options."""
    require_one_process(context.invoked_subcommand)
    defaults: dict[str, Any] = {"json": json, "quiet": quiet, "progress": progress}
    for group in (config.app, data.app, runs.app):
        defaults |= {str(command.name): defaults.copy() for command in group.registered_commands}
    names = [command.name for command in app.registered_commands] + [group.name for group in app.registered_groups]
    context.default_map = {str(name): defaults for name in names}


def main() -> None:
    """Run the command line; a user error ends with a message and its exit code."""
    open_streams()
    ignore_user_settings()
    guard_torch_import()
    forget_printed_json()
    answer_signals(interruption_json)
    try:
        code, error = _run()
    finally:
        record_output_errors()
    if shares_work():
        leave(code, error)
    sys.exit(code)


def _run() -> tuple[int, DlcliError | None]:
    """Return the exit code, and the error that caused it, if any."""
    try:
        check_working_folder()
        code: int | None = app(prog_name="dlcli", standalone_mode=False)
        if not code:
            check_stdout()
        return code or 0, None
    except DlcliError as error:
        failure = error
    except USAGE_ERROR as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # this error has already printed the help
            return UsageError.exit_code, None
        failure = explain_usage(error)
    except Exception as error:
        if (failed := _failed_installation(error)) is None:
            return _end_unexpectedly(error)
        failure = failed
    report_failure(failure)
    return failure.exit_code, failure


def _end_unexpectedly(error: Exception) -> tuple[int, DlcliError]:
    """Report a lack of memory; raise any other error, which is a bug."""
    if (shortage := find_memory_shortage(error)) is not None:
        sys.stderr.write(f"error: {shortage.message}\n\nhint: {shortage.hint}\n")  # without Rich, to save memory
        print_json_error(shortage)
        return shortage.exit_code, shortage
    bug = DlcliError(f"{type(error).__name__}: {error}")
    if not is_one_of_several():
        print_json_error(bug)
        raise error
    traceback.print_exception(error)
    report_failure(bug)
    return bug.exit_code, bug


def _failed_installation(error: Exception) -> UsageError | None:
    """Return the error to show if Typer could not write its completion script, else None."""
    if "--install-completion" not in sys.argv or not isinstance(error, OSError):
        return None
    reason = f"{error.filename}: {(error.strerror or str(error)).lower()}"
    hint = "print the script with `dlcli --show-completion`, and load it from another place"
    return UsageError(f"cannot install the completion: {reason}", hint=hint)
