"""Command-line argument parsing: path expansion and rejection of repeated options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from dlcli.config.paths import expand_path
from dlcli.errors import UsageError


def path_parser(argument: str) -> Callable[[str], Path]:
    """Return a parser that expands `~` and variables in a path; messages call the path `argument`."""

    def path(text: str) -> Path:
        return Path(expand_path(text, argument))

    return path


def name_or_path_parser(argument: str) -> Callable[[str], str]:
    """Return a parser that expands `~` and variables in a name or path; messages call it `argument`."""

    def name_or_path(text: str) -> str:
        return expand_path(text, argument)

    return name_or_path


class _Command(TyperCommand):
    """Command that rejects repeated options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments and reject repeated options."""
        _reject_repeats(self, ctx, args)
        return super().parse_args(ctx, args)


class _Group(TyperGroup):
    """Command group that rejects repeated options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments before the command and reject repeated options."""
        _reject_repeats(self, ctx, args)
        return super().parse_args(ctx, args)


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
