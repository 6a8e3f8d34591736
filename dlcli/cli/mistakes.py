"""Errors for unknown commands and options, and for wrong arguments, with the command that was probably meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from dlcli.errors import UsageError
from dlcli.text import join

# Probable meaning of unknown commands: names in other tools, or subcommands without the name of their group.
_COMMANDS = {
    "check": "data check",
    "convert": "export",
    "diagnose": "runs show --diagnose",
    "diff": "config diff",
    "download": "data fetch",
    "evaluate": "eval",
    "fetch": "data fetch",
    "fit": "train",
    "help": "--help",
    "infer": "predict",
    "init": "config init",
    "compare": "runs compare",
    "list": "runs list",
    "onnx": "export --format onnx",
    "ls": "runs list",
    "new": "config init",
    "resume": "train --resume RUN",
    "run": "train",
    "save": "export",
    "schema": "config schema",
    "score": "eval",
    "show": "runs show",
    "test": "eval",
    "tune": "study learning-rate",
    "validate": "config validate",
    "version": "--version",
}
# Probable meaning of unknown options: names in other tools.
_OPTIONS = {
    "gpu": "--device cuda",
    "cuda": "--device cuda",
    "cpu": "--device cpu",
    "output": "--run-dir DIR",
    "output-dir": "--run-dir DIR",
    "log-dir": "--run-dir DIR",
    "verbose": "--progress plain",
    "test": "--eval",
    "evaluate": "--eval",
    "continue": "--resume RUN",
}


def unknown_command(name: str, commands: Sequence[str], group: str) -> UsageError:
    """Return the error for a command that does not exist.

    Args:
        name: Command as it was typed.
        commands: Commands of the group.
        group: Words before the command, such as `dlcli config`.
    """
    from dlcli.config.suggest import closest

    others = _COMMANDS if group == "dlcli" else {}
    guess = closest(name, [*commands, *others], cutoff=0.6)
    guess = others.get(guess or "", guess)
    hint = f"did you mean `{group} {guess}`?" if guess else f"run `{group} --help` to see the commands"
    return UsageError(f"{group} has no command {name!r}", hint=hint)


def unknown_option(option: str, arguments: Sequence[str], context: Any) -> UsageError:
    """Return the error for an option that does not exist, which may be a setting, such as `--epochs 3`.

    Args:
        option: Unknown option, such as `--epochs`.
        arguments: Arguments as they were typed.
        context: Context of the command.
    """
    from dlcli.config.suggest import closest, find_setting

    command, parameters = context.command_path, context.command.params
    options = [name for parameter in parameters if parameter.param_type_name == "option" for name in parameter.opts]
    word = option.lstrip("-")
    has_settings = any(parameter.name in ("overrides", "settings") for parameter in parameters)
    other = _OPTIONS.get(word, "")
    if other.split(" ")[0] in options:
        hint = f"did you mean `{other}`?"
    elif has_settings and (setting := find_setting(word.replace("-", "_"))):
        hint = _as_setting(setting, _value_of(option, arguments))
    elif guess := closest(word, [name for name in options if name.startswith("--")], cutoff=0.75):
        hint = f"did you mean `{guess}`?"
    else:
        hint = f"run `{command} --help` for usage"
    return UsageError(f"{command} has no option {option}", hint=hint)


def _as_setting(setting: str, value: str) -> str:
    """Return the hint to write an option as a setting; `optimizer` and similar sections mean `optimizer.name`."""
    from dlcli.config.presets import presets
    from dlcli.config.schema import Config, section_models, section_name

    models = section_models(Config, setting)
    names = [section_name(model) for model in models if "name" in model.model_fields]
    if models and not names:
        return f"write its settings like `{setting}.{next(iter(models[0].model_fields))}=VALUE`"
    if setting == "data" and value in presets():
        return f"write it like `dlcli train {value}`"
    if names and value not in (*names, "VALUE"):
        return f"write it like `{setting}.name={names[0]}`, with one of {', '.join(names)}"
    return f"write it like `{setting}{'.name' if names else ''}={value}`"


def _value_of(option: str, arguments: Sequence[str]) -> str:
    """Return the value typed after an option, `VALUE` if there is none."""
    for argument, following in zip(arguments, [*arguments[1:], "-"], strict=True):
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}=")
        if argument == option and not following.startswith("-") and "=" not in following:
            return following
    return "VALUE"


def explain_usage(error: Any) -> UsageError:
    """Convert a usage error of Typer; replace messages that name Python types or lists in brackets."""
    command = error.ctx.command_path if error.ctx else "dlcli"
    hint, message = f"run `{command} --help` for usage", error.format_message()
    match type(error).__name__:
        case "MissingParameter":
            names = [parameter.metavar for parameter in error.ctx.command.params if parameter.required]
            hint = f"write it like `{command} {' '.join(names)}`"
            message = f"{command} needs {error.param.metavar}"
        case "BadOptionUsage" if "requires" in message:
            message = f"{error.option_name} needs a value"
        case "BadParameter" if requirement := _requirement(error.param):
            value = error.__cause__.errors()[0]["input"] if hasattr(error.__cause__, "errors") else None
            message = f"{error.param.opts[0]} must be {requirement}"
            message += "" if value is None else f". Got {value!r} instead"
        case "UsageError" if message.startswith("Got unexpected extra argument"):
            message = f"{command} takes no further argument. Got {message.partition('(')[2].partition('(')[2][:-1]} too"
    return UsageError(message, hint=hint)


def _requirement(parameter: Any) -> str:
    """Return a description of the valid values of an option; empty if it is unknown."""
    described = getattr(parameter, "type_descriptor", None)
    if described is None:
        return ""
    kind, about = described.annotation, described.parameter_info
    kind = (
        next((inner for inner in get_args(kind) if inner is not type(None)), kind)
        if type(None) in get_args(kind)
        else kind
    )
    if get_origin(kind) is Literal:
        return join(map(str, get_args(kind)), "or")
    if kind not in (int, float):
        return ""
    number = "a whole number" if kind is int else "a number"
    if about.min is not None and about.max is not None:
        return f"{number} from {about.min} to {about.max}"
    return f"{number} of at least {about.min}" if about.min is not None else number
