"""Errors for unknown commands, and for settings written as options."""

from __future__ import annotations

from collections.abc import Sequence

from dlcli.errors import UsageError

# Names of commands in other tools.
_OTHER_TOOLS = {
    "evaluate": "eval",
    "fit": "train",
    "infer": "predict",
    "run": "train",
    "score": "eval",
    "test": "eval",
    "tune": "study learning-rate",
}


def unknown_command(name: str, commands: Sequence[str], group: str) -> UsageError:
    """Return the error for a command that does not exist.

    Args:
        name: Command as it was typed.
        commands: Commands of the group.
        group: Words before the command, such as `dlcli config`.
    """
    from dlcli.config.suggest import closest

    others = _OTHER_TOOLS if group == "dlcli" else {}
    guess = closest(name, [*commands, *others])
    guess = others.get(guess or "", guess)
    hint = f"did you mean `{group} {guess}`?" if guess else f"run `{group} --help` to see the commands"
    return UsageError(f"{group} has no command {name!r}", hint=hint)


def unknown_option(option: str, arguments: Sequence[str], command: str) -> UsageError | None:
    """Return the error for a setting that was written as an option, such as `--epochs 3`; None if it is no setting.

    Args:
        option: Unknown option, such as `--epochs`.
        arguments: Arguments as they were typed.
        command: Words before the arguments, such as `dlcli train`.
    """
    from dlcli.config.suggest import find_setting

    setting = find_setting(option.lstrip("-").replace("-", "_"))
    if setting is None:
        return None
    value = _value_of(option, arguments)
    return UsageError(f"{command} has no option {option}", hint=f"write it like `{setting}={value}`")


def _value_of(option: str, arguments: Sequence[str]) -> str:
    """Return the value typed after an option, `VALUE` if there is none."""
    for argument, following in zip(arguments, [*arguments[1:], "-"], strict=True):
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}=")
        if argument == option and not following.startswith("-") and "=" not in following:
            return following
    return "VALUE"
