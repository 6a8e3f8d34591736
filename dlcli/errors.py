"""What a user can get wrong: the message, the fix to type, the exit code.

Everything a user can cause ends in one of these; nothing else in the package ends the process.

    DlcliError
    ├── UsageError     2   an argument that cannot be used
    │   └── ConfigError    2   problems of a config, each with its place
    ├── DataError      3   data that is missing, damaged or unfit
    ├── DeviceError    4   a device this machine lacks, or not enough memory
    ├── DivergedError  5   the loss stopped being a finite number
    ├── CheckFailed    6   a check the user asked for did not hold
    └── Interrupted    130 or 143, after saving
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_MAX_QUOTE = 100  # characters of a line that are shown around a mistake
_MAX_SHOWN = 50  # problems


class DlcliError(Exception):
    """A problem a user can cause and mend.

    Args:
        message: What happened, in one line where possible.
        hint: What to do about it, best as something that can be typed.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DlcliError):
    """An argument that cannot be used."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One mistake in a config.

    Attributes:
        file: The config's name as the user gave it, or `command line`.
        line: Counted from 1; None where there are no lines.
        column: Counted from 1; None where there are no columns.
        key: Dotted name of the setting, empty for the file as a whole.
        message: What is wrong.
        hint: What to type instead, if that can be told.
        text: The line as it was written, where there is one.
    """

    file: str
    line: int | None
    column: int | None
    key: str
    message: str
    hint: str | None = None
    text: str | None = None

    @property
    def place(self) -> str:
        """`file:line:column`, as far as they are known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    @property
    def lines(self) -> list[str]:
        """The place and the message, and the offending line with a caret under the offending word."""
        lines = [f"{self.place}: {self.message}"]
        if self.text is not None and self.line is not None and self.column is not None:
            start = max(0, self.column - 1 - _MAX_QUOTE // 2) if len(self.text) > _MAX_QUOTE else 0
            quote = visible(self.text[start : start + _MAX_QUOTE].replace("\t", " "))
            before = visible(self.text[start : self.column - 1].replace("\t", " "))
            word = re.match(r"[^\s:,\[\]{}]*", self.text[self.column - 1 :])
            carets = "^" * max(1, min(len(visible(word.group() if word else "")), len(quote) - len(before)))
            margin = " " * len(str(self.line))
            lines += [f"  {self.line} | {quote}", f"  {margin} | {' ' * len(before)}{carets}"]
        return lines


class ConfigError(UsageError):
    """All problems of a config in one answer."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        assert problems, "a ConfigError needs a problem"
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        shown = problems[:_MAX_SHOWN]
        lines = [f"  {line}" for problem in shown for line in problem.lines]
        if len(problems) > len(shown):
            lines.append(f"  and {len(problems) - len(shown)} more")
        hints = dict.fromkeys(problem.hint for problem in shown if problem.hint)
        super().__init__("\n".join([f"{file} has {count}", *lines]), hint="\n".join(hints) or None)
        self.problems = tuple(problems)


class DataError(DlcliError):
    """Data that is missing, damaged or unfit for the task."""

    exit_code = 3


class DeviceError(DlcliError):
    """A device this machine lacks, or too little memory on it."""

    exit_code = 4


class DivergedError(DlcliError):
    """The loss stopped being a finite number."""

    exit_code = 5


class CheckFailed(DlcliError):
    """A check the user asked for did not hold."""

    exit_code = 6


class Interrupted(DlcliError):
    """A signal ended the run; what it had learned is saved.

    Args:
        signum: The signal's number; the exit code is 128 + signum, as shells have it.
    """

    def __init__(self, message: str, *, signum: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signum


def one_line(text: str) -> str:
    r"""Return `text`, a path or a name, as one line: what does not print becomes an escape, newlines and tabs too."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def visible(text: str) -> str:
    r"""Return `text` with everything a terminal would act on made visible.

    Newlines and tabs stay; other control and format characters (ESC, C1, bidirectional overrides)
    become escapes such as `\x1b`.
    """
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1] for character in text
    )
