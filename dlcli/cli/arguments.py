"""How arguments are read: paths expanded, an option once each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from dlcli.config.paths import expand_path
from dlcli.errors import UsageError


def path_of(what: str) -> Callable[[str], Path]:
    """Return what reads a path as the user means it; `what` is the argument in messages."""

    def path(text: str) -> Path:
        return Path(expand_path(text, what))

    return path


def name_or_path_of(what: str) -> Callable[[str], str]:
    """Return what reads a path, or a name, as the user means it; `what` is the argument in messages."""

    def name_or_path(text: str) -> str:
        return expand_path(text, what)

    return name_or_path


class _Command(TyperCommand):
    """A command that takes each option once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; refuse an option that is given twice."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        _refuse_repeats(self, ctx, given)
        return rest


class _Group(TyperGroup):
    """A group of commands that takes each option once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments before the command; refuse an option that is given twice."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        _refuse_repeats(self, ctx, given)
        return rest


def _refuse_repeats(command: TyperCommand | TyperGroup, context: Any, arguments: list[str]) -> None:
    """Refuse an option with one value that is given twice: the parser would take the last in silence.

    Raises:
        UsageError: If one is.
    """
    if context.resilient_parsing:  # for completion; nothing is run
        return
    _, _, order = command.make_parser(context).parse_args(args=arguments)
    for parameter in dict.fromkeys(order):
        can_repeat = parameter.param_type_name == "argument" or parameter.multiple or parameter.count
        if not can_repeat and order.count(parameter) > 1 and not (parameter.is_flag and not parameter.secondary_opts):
            options = "/".join(dict.fromkeys([*parameter.opts, *parameter.secondary_opts]))
            raise UsageError(f"{options} is given {order.count(parameter)} times", hint=f"give {options} once")


def take_options_once(app: typer.Typer) -> None:
    """Let every command of `app`, and of the groups in it, refuse an option that is given twice."""
    app.info.cls = _Group
    for command in app.registered_commands:
        command.cls = _Command
    for group in app.registered_groups:
        assert group.typer_instance is not None
        take_options_once(group.typer_instance)
