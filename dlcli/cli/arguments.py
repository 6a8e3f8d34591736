"""Command-line argument parsing: path expansion, repeated options and unknown commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from dlcli.cli.mistakes import unknown_command, unknown_option
from dlcli.config.paths import expand_path
from dlcli.errors import UsageError, visible
from dlcli.text import fold


def path_parser(argument: str) -> Callable[[str], Path]:
    """Return a parser that expands `~` and variables in a path; `argument` names the path in error messages."""

    def path(text: str) -> Path:
        return Path(expand_path(text, argument))

    return path


def name_or_path_parser(argument: str) -> Callable[[str], str]:
    """Return a parser that expands `~` and variables in a name or path; `argument` is its name in error messages."""

    def name_or_path(text: str) -> str:
        return expand_path(text, argument)

    return name_or_path


def wants_json() -> bool:
    """Return whether `--json` is among the arguments, even if other arguments are invalid."""
    return "--json" in _options()


def wants_annotations() -> bool:
    """Return whether `--format github` is among the arguments, even if other arguments are invalid."""
    options = _options()
    return "--format=github" in options or ("--format", "github") in pairwise(options)


def _options() -> list[str]:
    return list(takewhile(lambda argument: argument != "--", sys.argv[1:]))


def print_notes(notes: Sequence[str]) -> None:
    """Print notes about a config on stderr."""
    for note in notes:
        sys.stderr.write(fold(visible(f"note: {note}"), sys.stderr) + "\n")
    sys.stderr.flush()


USAGE_ERROR: Any = typer.BadParameter.__mro__[1]  # base class of Typer's usage errors; it has no public name


class _PlainFlags:
    """Mixin of commands whose help shows no Python type for flags and arguments, such as `<bool>` and `<list[str]>`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        for parameter in self.get_params(ctx):  # type: ignore[attr-defined]
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None
        super().format_help(ctx, formatter)  # type: ignore[misc]


class _Command(_PlainFlags, TyperCommand):
    """Command that rejects repeated options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, the first of which may be a config; reject repeated options and unknown ones."""
        arguments = [parameter.name for parameter in self.params if parameter.param_type_name == "argument"]
        if arguments == ["overrides"] and args and _is_config(args[0]):
            if {"-c", "--config"} & {*args} and not {"-h", "--help"} & {*args}:
                raise UsageError(f"the config is given twice: {args[0]}, and with --config", hint=f"delete {args[0]}")
            args = ["--config", *args]  # as in `dlcli train digits`
        try:
            _reject_repeats(self, ctx, args)
        except USAGE_ERROR as error:
            option = getattr(error, "option_name", None)
            if type(error).__name__ == "NoSuchOption" and option:
                raise unknown_option(option, args, ctx) from error
            raise
        return super().parse_args(ctx, args)


def _is_config(argument: str) -> bool:
    return argument == "-" or (not argument.startswith("-") and "=" not in argument)


class _Group(_PlainFlags, TyperGroup):
    """Command group that rejects repeated options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments before the command and reject repeated options."""
        if not args and wants_json():  # with --json, an error replaces the help
            raise UsageError(f"{ctx.command_path} needs a command", hint=f"run `{ctx.command_path} --help` for usage")
        _reject_repeats(self, ctx, args)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to run; an unknown command is reported with the most similar one."""
        if not ctx.resilient_parsing and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise unknown_command(args[0], self.list_commands(ctx), ctx.command_path)
        return super().resolve_command(ctx, args)


def _reject_repeats(command: TyperCommand | TyperGroup, context: Any, arguments: list[str]) -> None:
    """Reject a single-value option given twice; the parser would silently use the last value.

    Raises:
        UsageError: If an option is repeated.
    """
    if context.resilient_parsing:  # shell completion: no command runs
        return
    _, _, order = command.make_parser(context).parse_args(args=list(arguments))
    if any(parameter.is_eager for parameter in order):  # --help and --version take precedence over errors
        return
    for parameter in dict.fromkeys(order):
        if order.count(parameter) > 1 and not _can_repeat(parameter):
            options = "/".join(dict.fromkeys([*parameter.opts, *parameter.secondary_opts]))
            raise UsageError(f"{options} is given {order.count(parameter)} times", hint=f"pass {options} only once")


def _can_repeat(parameter: Any) -> bool:
    """Return whether a parameter may be repeated: an argument, a list, or a flag without a negative form."""
    if parameter.param_type_name == "argument" or parameter.multiple:
        return True
    return bool(parameter.is_flag and not parameter.secondary_opts)


def reject_repeated_options(app: typer.Typer) -> None:
    """Make every command of `app` and of its groups reject repeated options."""
    app.info.cls = _Group
    for command in app.registered_commands:
        command.cls = _Command
    for group in app.registered_groups:
        assert group.typer_instance is not None
        reject_repeated_options(group.typer_instance)
