"""User-facing errors with message, hint and exit code.

Every error that a user can cause is one of these:

    DlcliError
    ├── UsageError     2   an invalid argument
    │   └── ConfigError    2   problems in a config, each with its location
    ├── DataError      3   missing, damaged or unsuitable data
    ├── DeviceError    4   an unavailable device, or not enough memory
    │   └── LostProcess    4   another process of the training that has ended
    │       └── SilentProcess  4   one that does not answer in time
    ├── DivergedError  5   a loss or parameter that is no longer finite
    ├── CheckFailed    6   a failed check that the user requested
    ├── Interrupted    128 + signal number, after saving
    └── RemoteError    the code of an error in another process
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MAX_QUOTE = 100  # characters of the source line shown around a problem
_MAX_SHOWN = 50  # largest number of problems shown


class DlcliError(Exception):
    """Base class of errors that a user can cause and fix.

    Args:
        message: Description of the error, in one line where possible.
        hint: Instruction to fix it, preferably a command to type.
    """

    exit_code = 1
    kind = "bug"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(f"hint: {hint}")  # Python prints notes below the message, in notebooks too

    @property
    def record(self) -> dict[str, Any]:
        """This error for the JSON output: code, kind, message, place and hints."""
        return {"code": self.exit_code, "kind": self.kind, **_record(self.message, None, self.hint)}


class UsageError(DlcliError):
    """Invalid argument."""

    exit_code = 2
    kind = "usage"


@dataclass(frozen=True)
class Problem:
    """One problem in a config.

    Attributes:
        file: Config name as given by the user, or `command line`.
        line: Line number, counted from 1; None if the source has no lines.
        column: Column number, counted from 1; None if the source has no columns.
        key: Dotted name of the setting; empty for the whole file.
        message: Description of the problem.
        hint: Suggested replacement, if any.
        text: Source line as the user wrote it; None if the source has no lines.
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
        """Location as `file:line:column`, without the parts that are None."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    @property
    def lines(self) -> list[str]:
        """Location and message, then the source line with carets under the wrong word."""
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
    """All problems of a config in one error."""

    kind = "config"

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        assert problems, "a ConfigError needs a problem"
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        shown = problems[:_MAX_SHOWN]
        lines = [f"  {line}" for problem in shown for line in problem.lines]
        if len(problems) > len(shown):
            lines.append(f"  and {len(problems) - len(shown)} more")
        hints = dict.fromkeys(problem.hint for problem in shown if problem.hint)
        self.summary = f"{file} has {count}"
        super().__init__("\n".join([self.summary, *lines]), hint="\n".join(hints) or None)
        self.problems = tuple(problems)

    @property
    def record(self) -> dict[str, Any]:
        """This error for the JSON output, with all problems and the place of the first one."""
        problems = [_record(problem.message, problem.place, problem.hint) for problem in self.problems]
        return {**super().record, "message": self.summary, "place": problems[0]["place"], "problems": problems}


class DataError(DlcliError):
    """Missing or damaged data, or data unsuitable for the task."""

    exit_code = 3
    kind = "data"


class DeviceError(DlcliError):
    """Unavailable device, or not enough memory on it."""

    exit_code = 4
    kind = "device"


class LostProcess(DeviceError):
    """Another process of the same training has ended."""

    kind = "lost process"


class SilentProcess(LostProcess):
    """Another process of the same training does not answer in time."""

    kind = "timeout"


class DivergedError(DlcliError):
    """Loss or parameter that is no longer finite."""

    exit_code = 5
    kind = "diverged"


class CheckFailed(DlcliError):
    """Failed checks that the user requested.

    Args:
        failures: One message per failed check; by default only `message`.
    """

    exit_code = 6
    kind = "check"

    def __init__(self, message: str, *, failures: Sequence[str] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.failures = tuple(failures) or (message,)


class Interrupted(DlcliError):
    """Training stopped by a signal, after saving.

    Args:
        signum: Signal number; the exit code is 128 + signum, as in shells.
    """

    kind = "interrupted"

    def __init__(self, message: str, *, signum: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = 128 + signum


class RemoteError(DlcliError):
    """Error that ended another process, or all processes.

    Args:
        record: Record of the error for the JSON output, with the complete message as `text` if that is longer.
        where: Name of the ended process, for the start of the message; empty to leave it out.
    """

    def __init__(self, record: Mapping[str, Any], where: str = "") -> None:
        text = str(record.get("text", record["message"]))
        super().__init__(f"{where}: {text}" if where else text, hint="\n".join(record["hints"]) or None)
        self.exit_code, self.kind = record["code"], record["kind"]
        self._rest = {key: value for key, value in record.items() if key not in ("text", "message")}
        self._summary = f"{where}: {record['message']}" if where else record["message"]

    @property
    def record(self) -> dict[str, Any]:
        """This error for the JSON output, with the same fields as in the other process."""
        return {**self._rest, "message": self._summary}


def full_record(error: DlcliError) -> dict[str, Any]:
    """Return the record of an error for `RemoteError` in another process."""
    return {**error.record, "text": error.message}


def _record(message: str, place: str | None, hint: str | None) -> dict[str, Any]:
    return {"message": message, "place": place, "hints": hint.split("\n") if hint else []}


def one_line(text: str) -> str:
    r"""Return a path or name as one line, with non-printable characters, newlines and tabs escaped."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def visible(text: str) -> str:
    r"""Return `text` with the characters escaped that a terminal would interpret.

    Newlines and tabs are kept; other control and format characters (ESC, C1, bidirectional overrides)
    become escapes such as `\x1b`.
    """
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1] for character in text
    )
