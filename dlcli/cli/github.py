"""GitHub Actions: annotations for errors, and job summaries in Markdown.

Source of the formats: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from dlcli.errors import CheckFailed, ConfigError, DlcliError, Problem, visible


def annotate(error: DlcliError) -> list[str]:
    """Return one `::error` line for each problem of a config, each failed check, or the error itself."""
    if isinstance(error, ConfigError):
        return [_config_annotation(problem) for problem in error.problems]
    if isinstance(error, CheckFailed):
        return [_annotation(failure, error.hint, {"title": "Failed check"}) for failure in error.failures]
    return [_annotation(error.message, error.hint, {"title": "dlcli error"})]


def _config_annotation(problem: Problem) -> str:
    properties = {"title": "Invalid config"}
    if not os.path.isfile(problem.file):  # a preset, stdin or the command line
        return _annotation(f"{problem.place}: {problem.message}", problem.hint, properties)
    places = {"file": _repository_path(problem.file), "line": problem.line, "col": problem.column}
    properties = {name: str(place) for name, place in places.items() if place is not None} | properties
    return _annotation(problem.message, problem.hint, properties)


def _repository_path(file: str) -> str:
    """Return the path of a file relative to the checkout, which may differ from the working folder."""
    checkout, path = os.environ.get("GITHUB_WORKSPACE"), Path(file).resolve()
    if checkout and path.is_relative_to(Path(checkout).resolve()):
        return path.relative_to(Path(checkout).resolve()).as_posix()
    return file


def _annotation(message: str, hint: str | None, properties: dict[str, str]) -> str:
    text = "\n".join([message, *(f"hint: {line}" for line in (hint or "").splitlines())])
    values = (f"{name}={_encode(value).replace(':', '%3A').replace(',', '%2C')}" for name, value in properties.items())
    return f"::error {','.join(values)}::{_encode(text)}"


def _encode(text: str) -> str:
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return visible(escaped)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; the first column is left-aligned, the others right-aligned."""
    divider = ["---", *("---:" for _ in headings[1:])]
    lines = [[escape(cell) for cell in row] for row in (headings, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], divider, *lines[1:]))


def escape(text: str) -> str:
    """Return text with the characters escaped that Markdown would interpret."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>|~&" else character for character in visible(text))


def append_summary(text: str) -> None:
    """Append Markdown to the summary of the job, if there is one; a failure only causes a note on stderr."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    try:
        with open(file, "a", encoding="utf-8", errors="backslashreplace") as summary:
            summary.write(f"{text}\n\n")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        sys.stderr.write(f"note: cannot write the job summary {visible(file)}: {reason}\n")
