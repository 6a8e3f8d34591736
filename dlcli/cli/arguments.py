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
        _refuse_repeats(self, ctx, args)
        return super().parse_args(ctx, args)


class _Group(TyperGroup):
    """A group of commands that takes each option once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments before the command; refuse an option that is given twice."""
        _refuse_repeats(self, ctx, args)
        return super().parse_args(ctx, args)


def _refuse_repeats(command: TyperCommand | TyperGroup, context: Any, arguments: list[str]) -> None:
    """Refuse an option with one value that is given twice: the parser would take the last in silence.

    Raises:
        UsageError: If one is.
    """
    if context.resilient_parsing:  # for completion; nothing is run
        return
    _, _, order = command.make_parser(context).parse_args(args=list(arguments))
    if any(parameter.is_eager for parameter in order):  # --help and --version come before everything
        return
    for parameter in dict.fromkeys(order):
        if order.count(parameter) > 1 and not _can_repeat(parameter):
            options = "/".join(dict.fromkeys([*parameter.opts, *parameter.secondary_opts]))
            raise UsageError(f"{options} is given {order.count(parameter)} times", hint=f"give {options} once")


def _can_repeat(parameter: Any) -> bool:
    """Return whether an argument may be given several times: a list, or a flag, which has nothing to contradict."""
    if parameter.param_type_name == "argument" or parameter.multiple:
        return True
    return bool(parameter.is_flag and not parameter.secondary_opts)


def take_options_once(app: typer.Typer) -> None:
    """Let every command of `app`, and of the groups in it, refuse an option that is given twice."""
    app.info.cls = _Group
    for command in app.registered_commands:
        command.cls = _Command
    for group in app.registered_groups:
        assert group.typer_instance is not None
        take_options_once(group.typer_instance)
